/* The blocks of an encoder with matrix products of 16-bit integers, for sub-words that lie one after the other, on one
 * thread; the attention between them is encoder.c's. For processors with AVX2, whose vpmaddwd multiplies twice as many
 * numbers at a time as it can in float32, and sums them in 32 bits.
 *
 * A row of inputs is rounded to -TOP .. TOP with a scale of its own. A row of weights is rounded so that the sum of its
 * sizes times TOP stays below 2^31 (models/reduced/int16.py): no sum of products overflows, whatever the inputs are.
 * Norms, GELU and the sums of the residual stream are in float32.
 *
 * Chunks of rows go through all of a block, so that what is between the products stays in cache.
 */

#include <stdint.h>

#if defined(__x86_64__) && defined(__GNUC__)

#include "lanes.h"

enum { TOP = 8191, ROWS = 6, OUTPUTS = 16, CHUNK = 48 };

/* x W^T: `weights` lie as (out / 16, in / 2, 16, 2), `scales` (out) are what their integers are to be multiplied by. */
typedef struct {
    int64_t in, out;
    const int16_t *weights;
    const float *scales;
} product;

/* One block; `after` is the projection to queries, keys and values of the next one, of out = 0 if there is none. */
typedef struct {
    product out, up, down, after;
    const float *out_bias, *out_weight, *out_shift; /* the norm's weight and shift, after the attention */
    const float *up_bias;
    const float *down_bias, *down_weight, *down_shift;
    float out_epsilon, down_epsilon;
} block;

EXPORT int64_t align_eval_int16_top(void) { return TOP; }

/* Numbers of float32 that `scratch` has to hold: rows of the inner width, twice those of the width, scales, integers. */
EXPORT int64_t align_eval_int16_scratch(int64_t width, int64_t inner) { return CHUNK * (inner + 2 * width + 1); }

/* A row as integers, into `out`, which may be where x or a row before it begins; returns their scale. Numbers that are not finite give a
 * scale that is not finite: sizes are compared as integers, in the order of which NaN is above infinity. */
INLINE float rounded(const float *x, int64_t width, int16_t *out) {
    const __m256i size = _mm256_set1_epi32(0x7FFFFFFF);
    __m256i sizes = _mm256_setzero_si256();
    for (int64_t k = 0; k < width; k += 8)
        sizes = _mm256_max_epi32(sizes, _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(x + k)), size));
    __m128i most = _mm_max_epi32(_mm256_castsi256_si128(sizes), _mm256_extracti128_si256(sizes, 1));
    most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0x4E));
    most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0xB1));
    const float found = _mm_cvtss_f32(_mm_castsi128_ps(most)), largest = found < 1e-30f ? 1e-30f : found;
    const lanes times = all(TOP / largest);
    for (int64_t k = 0; k < width; k += 16) {
        const __m256i low = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + k), times));
        const __m256i high = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + k + 8), times));
        const __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xD8);
        _mm256_storeu_si256((__m256i *)(out + k), both);
    }
    return largest / TOP;
}

/* Up to six rows of integers (`stride` apart) times sixteen rows of weights; into `out`, `apart` from row to row. */
INLINE void tile(const int16_t *x, int64_t stride, const float *x_scales, const int16_t *weights, const float *scales,
                 int64_t in, int rows, float *out, int64_t apart) {
    __m256i sums[ROWS][2];
    UNROLL for (int i = 0; i < rows; i++) sums[i][0] = sums[i][1] = _mm256_setzero_si256();
    for (int64_t k = 0; k < in; k += 2, weights += 2 * OUTPUTS) {
        const __m256i left = _mm256_loadu_si256((const __m256i *)weights);
        const __m256i right = _mm256_loadu_si256((const __m256i *)(weights + OUTPUTS));
        UNROLL for (int i = 0; i < rows; i++) {
            int32_t pair;
            memcpy(&pair, x + i * stride + k, 4);
            const __m256i given = _mm256_set1_epi32(pair);
            __m256i made;
            /* sum += given . weights, twice. As a whole, because compilers take the products first, and then they have
             * fewer registers than numbers. */
            __asm__ volatile("vpmaddwd %4, %3, %1\n\tvpaddd %1, %0, %0\n\tvpmaddwd %4, %5, %1\n\tvpaddd %1, %2, %2"
                             : "+x"(sums[i][0]), "=&x"(made), "+x"(sums[i][1])
                             : "x"(left), "x"(given), "x"(right));
        }
    }
    const lanes first = _mm256_loadu_ps(scales), second = _mm256_loadu_ps(scales + 8);
    UNROLL for (int i = 0; i < rows; i++) {
        const lanes scale = _mm256_broadcast_ss(x_scales + i);
        _mm256_storeu_ps(out + i * apart, _mm256_mul_ps(_mm256_cvtepi32_ps(sums[i][0]), _mm256_mul_ps(scale, first)));
        _mm256_storeu_ps(out + i * apart + 8,
                         _mm256_mul_ps(_mm256_cvtepi32_ps(sums[i][1]), _mm256_mul_ps(scale, second)));
    }
}

/* The product of `rows` rows of integers, `stride` apart, into `out` (rows, out). */
static WIDE void multiply(const product *by, const int16_t *x, int64_t stride, const float *x_scales, int64_t rows,
                          float *out) {
    const int64_t apart = by->out;
    for (int64_t n = 0; n < by->out; n += OUTPUTS) {
        const int16_t *weights = by->weights + n * by->in;
        const float *scales = by->scales + n;
        int64_t i = 0;
        for (; i + ROWS <= rows; i += ROWS)
            tile(x + i * stride, stride, x_scales + i, weights, scales, by->in, 6, out + i * apart + n, apart);
        const int16_t *from = x + i * stride;
        float *into = out + i * apart + n;
        switch (rows - i) {
            case 5: tile(from, stride, x_scales + i, weights, scales, by->in, 5, into, apart); break;
            case 4: tile(from, stride, x_scales + i, weights, scales, by->in, 4, into, apart); break;
            case 3: tile(from, stride, x_scales + i, weights, scales, by->in, 3, into, apart); break;
            case 2: tile(from, stride, x_scales + i, weights, scales, by->in, 2, into, apart); break;
            case 1: tile(from, stride, x_scales + i, weights, scales, by->in, 1, into, apart); break;
            default: break;
        }
    }
}

/* x W^T of rows in float32, into `out` (rows, out); the projection of the first block. */
EXPORT WIDE void align_eval_int16_product(const product *by, const float *x, int64_t rows, float *scratch, float *out) {
    float *scales = scratch;
    int16_t *integers = (int16_t *)(scratch + CHUNK);
    for (int64_t begin = 0; begin < rows; begin += CHUNK) {
        const int64_t count = rows - begin < CHUNK ? rows - begin : CHUNK;
        for (int64_t i = 0; i < count; i++)
            scales[i] = rounded(x + (begin + i) * by->in, by->in, integers + i * by->in);
        multiply(by, integers, by->in, scales, count, out + begin * by->out);
    }
}

/* All of a block that follows its attention, and the projection of the next one.
 *
 * mixed       (rows, width), the attention's weighted sums
 * x           (rows, width), the block's input
 * states      (rows, width), into which its output goes; may be x
 * projected   (rows, out of `after`)
 */
EXPORT WIDE void align_eval_int16_block(const block *own, const float *mixed, const float *x, int64_t rows,
                                        float *scratch, float *states, float *projected) {
    const int64_t width = own->out.out, inner = own->up.out;
    float *scales = scratch, *made = scales + CHUNK, *wide = made + CHUNK * width;
    int16_t *integers = (int16_t *)(wide + CHUNK * inner); /* CHUNK x width of them take half of the room */
    for (int64_t begin = 0; begin < rows; begin += CHUNK) {
        const int64_t count = rows - begin < CHUNK ? rows - begin : CHUNK;
        float *out = states + begin * width;
        for (int64_t i = 0; i < count; i++)
            scales[i] = rounded(mixed + (begin + i) * width, width, integers + i * width);
        multiply(&own->out, integers, width, scales, count, made);
        for (int64_t i = 0; i < count; i++) {
            add_and_norm(made + i * width, own->out_bias, x + (begin + i) * width, own->out_weight, own->out_shift,
                         own->out_epsilon, width, out + i * width);
            scales[i] = rounded(out + i * width, width, integers + i * width);
        }
        multiply(&own->up, integers, width, scales, count, wide);
        for (int64_t i = 0; i < count; i++) {
            float *row = wide + i * inner;
            for (int64_t k = 0; k < inner; k += 8)
                _mm256_storeu_ps(row + k,
                                 gelu(_mm256_add_ps(_mm256_loadu_ps(row + k), _mm256_loadu_ps(own->up_bias + k))));
            scales[i] = rounded(row, inner, (int16_t *)wide + i * inner); /* where earlier rows were */
        }
        multiply(&own->down, (int16_t *)wide, inner, scales, count, made);
        for (int64_t i = 0; i < count; i++) {
            add_and_norm(made + i * width, own->down_bias, out + i * width, own->down_weight, own->down_shift,
                         own->down_epsilon, width, out + i * width);
            if (own->after.out) scales[i] = rounded(out + i * width, width, integers + i * width);
        }
        if (own->after.out) multiply(&own->after, integers, width, scales, count, projected + begin * own->after.out);
    }
}

#endif
