/* What an encoder's block computes beside its matrix products, for sub-words that lie one after the other, on one thread:
 * attention within sentences, bias and GELU, bias and residual sum and layer norm; each in one pass over memory that is
 * there already. In float32 for processors with AVX2 and FMA; elsewhere torch computes the same (models/packed.py).
 *
 * Rows are sub-words; widths are multiples of 8, those of heads of 32.
 */

#include <stdint.h>

#if defined(__x86_64__) && defined(__GNUC__)

#include "lanes.h"

EXPORT int32_t align_eval_fused(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

/* GELU of x + bias, in place; x (rows, width). */
EXPORT WIDE void align_eval_gelu(float *x, const float *bias, int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; row++, x += width)
        for (int64_t k = 0; k < width; k += 8)
            _mm256_storeu_ps(x + k, gelu(_mm256_add_ps(_mm256_loadu_ps(x + k), _mm256_loadu_ps(bias + k))));
}

/* Layer norm (Ba et al. 2016) of x + bias + before, each (rows, width), into out; x is overwritten. */
EXPORT WIDE void align_eval_norm(float *x, const float *bias, const float *before, const float *weight,
                                 const float *shift, float epsilon, int64_t rows, int64_t width, float *out) {
    for (int64_t row = 0; row < rows; row++)
        add_and_norm(x + row * width, bias, before + row * width, weight, shift, epsilon, width, out + row * width);
}

enum { QUERIES = 4, HEAD = 32 };

/* Eight rows of eight numbers (those from `rows` on: zeros) to eight columns. */
INLINE void turn(const float *from, int64_t stride, int64_t rows, float *to, int64_t apart) {
    lanes a[8], b[8];
    UNROLL for (int k = 0; k < 8; k++) a[k] = k < rows ? _mm256_loadu_ps(from + k * stride) : _mm256_setzero_ps();
    UNROLL for (int k = 0; k < 8; k += 2) {
        b[k] = _mm256_unpacklo_ps(a[k], a[k + 1]);
        b[k + 1] = _mm256_unpackhi_ps(a[k], a[k + 1]);
    }
    UNROLL for (int k = 0; k < 8; k += 4) {
        a[k] = _mm256_shuffle_ps(b[k], b[k + 2], 0x44);
        a[k + 1] = _mm256_shuffle_ps(b[k], b[k + 2], 0xEE);
        a[k + 2] = _mm256_shuffle_ps(b[k + 1], b[k + 3], 0x44);
        a[k + 3] = _mm256_shuffle_ps(b[k + 1], b[k + 3], 0xEE);
    }
    UNROLL for (int k = 0; k < 4; k++) {
        _mm256_storeu_ps(to + k * apart, _mm256_permute2f128_ps(a[k], a[k + 4], 0x20));
        _mm256_storeu_ps(to + (k + 4) * apart, _mm256_permute2f128_ps(a[k], a[k + 4], 0x31));
    }
}

/* Scores of four queries (`width` numbers each, scaled) with 8 x count keys, turned; into rows of `padded`. */
INLINE void score(const float *queries, const float *turned, int64_t width, int64_t padded, int count, float *scores) {
    lanes sums[QUERIES][3];
    UNROLL for (int i = 0; i < QUERIES; i++)
        UNROLL for (int c = 0; c < count; c++) sums[i][c] = _mm256_setzero_ps();
    for (int64_t k = 0; k < width; k++) {
        lanes keys[3];
        UNROLL for (int c = 0; c < count; c++) keys[c] = _mm256_loadu_ps(turned + k * padded + 8 * c);
        UNROLL for (int i = 0; i < QUERIES; i++) {
            const lanes query = _mm256_broadcast_ss(queries + i * width + k);
            UNROLL for (int c = 0; c < count; c++) sums[i][c] = _mm256_fmadd_ps(query, keys[c], sums[i][c]);
        }
    }
    UNROLL for (int i = 0; i < QUERIES; i++)
        UNROLL for (int c = 0; c < count; c++) _mm256_storeu_ps(scores + i * padded + 8 * c, sums[i][c]);
}

/* e^(s - greatest s) of the first `length` of `padded` scores in place, zeros after them; returns 1 / their sum. */
INLINE float soften(float *scores, int64_t length, int64_t padded) {
    static const int32_t window[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    const int64_t last = padded - 8;
    const lanes keep = _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(window + padded - length)));
    lanes most = _mm256_blendv_ps(all(-INFINITY), _mm256_loadu_ps(scores + last), keep), sum = _mm256_setzero_ps();
    for (int64_t j = 0; j < last; j += 8) most = _mm256_max_ps(most, _mm256_loadu_ps(scores + j));
    most = all(greatest(most));
    for (int64_t j = 0; j < last; j += 8) {
        const lanes value = exponential(_mm256_sub_ps(_mm256_loadu_ps(scores + j), most));
        sum = _mm256_add_ps(sum, value);
        _mm256_storeu_ps(scores + j, value);
    }
    const lanes value = _mm256_and_ps(exponential(_mm256_sub_ps(_mm256_loadu_ps(scores + last), most)), keep);
    _mm256_storeu_ps(scores + last, value);
    return 1.0f / total(_mm256_add_ps(sum, value));
}

/* Two rows of weights (padded) times values (length, HEAD of them; stride apart), scaled, plus bias, into two rows. */
INLINE void weigh(const float *weights, int64_t padded, const float *scales, const float *values, int64_t stride,
                  int64_t length, const float *bias, float *out, int64_t second) {
    lanes sums[2][4];
    UNROLL for (int c = 0; c < 4; c++) sums[0][c] = sums[1][c] = _mm256_setzero_ps();
    for (int64_t j = 0; j < length; j++) {
        const lanes one = _mm256_broadcast_ss(weights + j), two = _mm256_broadcast_ss(weights + padded + j);
        UNROLL for (int c = 0; c < 4; c++) {
            const lanes value = _mm256_loadu_ps(values + j * stride + 8 * c);
            sums[0][c] = _mm256_fmadd_ps(one, value, sums[0][c]);
            sums[1][c] = _mm256_fmadd_ps(two, value, sums[1][c]);
        }
    }
    UNROLL for (int c = 0; c < 4; c++) {
        const lanes plus = _mm256_loadu_ps(bias + 8 * c);
        _mm256_storeu_ps(out + 8 * c, _mm256_fmadd_ps(sums[0][c], all(scales[0]), plus));
        if (second) _mm256_storeu_ps(out + second + 8 * c, _mm256_fmadd_ps(sums[1][c], all(scales[1]), plus));
    }
}

/* Attention of sentences of one length, each within itself (Vaswani et al. 2017, equation 1).
 *
 * query, key, value        (sentences x length, heads x width), heads side by side; without their biases. From one row to
 *                          the next there are `stride` numbers.
 * query_bias, value_bias   (heads x width). A bias of the keys adds the same to all scores of a query: it falls away.
 * out                      (sentences x length, heads x width), row after row.
 * scratch                  (width + 4) x padded + 4 x width numbers, padded: the length up to a multiple of 8.
 */
EXPORT WIDE void align_eval_attention(const float *query, const float *key, const float *value, const float *query_bias,
                                      const float *value_bias, int64_t sentences, int64_t length, int64_t heads,
                                      int64_t width, int64_t stride, float *scratch, float *out) {
    const int64_t across = heads * width, padded = (length + 7) / 8 * 8;
    const float scale = 1.0f / sqrtf((float)width);
    float *turned = scratch, *scores = turned + width * padded, *queries = scores + QUERIES * padded;
    for (int64_t sentence = 0; sentence < sentences; sentence++) {
        for (int64_t head = 0; head < heads; head++) {
            const int64_t corner = sentence * length * stride + head * width;
            float *mixed = out + sentence * length * across + head * width;
            for (int64_t j = 0; j < padded; j += 8)
                for (int64_t k = 0; k < width; k += 8)
                    turn(key + corner + j * stride + k, stride, length - j, turned + k * padded + j, padded);
            for (int64_t i = 0; i < length; i += QUERIES) {
                const int64_t rows = length - i < QUERIES ? length - i : QUERIES;
                float scales[QUERIES];
                for (int64_t row = 0; row < QUERIES; row++) {
                    const float *from = query + corner + (i + (row < rows ? row : 0)) * stride;
                    for (int64_t k = 0; k < width; k++)
                        queries[row * width + k] = (from[k] + query_bias[head * width + k]) * scale;
                }
                for (int64_t j = 0; j < padded;) {
                    const int64_t left = (padded - j) / 8;
                    const int count = left == 4 ? 2 : left > 3 ? 3 : (int)left;
                    if (count == 3) score(queries, turned + j, width, padded, 3, scores + j);
                    if (count == 2) score(queries, turned + j, width, padded, 2, scores + j);
                    if (count == 1) score(queries, turned + j, width, padded, 1, scores + j);
                    j += 8 * count;
                }
                for (int64_t row = 0; row < QUERIES; row++) scales[row] = soften(scores + row * padded, length, padded);
                for (int64_t row = 0; row < rows; row += 2)
                    for (int64_t part = 0; part < width; part += HEAD)
                        weigh(scores + row * padded, padded, scales + row, value + corner + part, stride, length,
                              value_bias + head * width + part, mixed + (i + row) * across + part,
                              row + 1 < rows ? across : 0);
            }
        }
    }
}

#endif
