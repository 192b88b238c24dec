/* The blocks of an encoder with matrix products of 16-bit integers, for processors with AVX2, whose vpmaddwd multiplies
 * twice as many numbers at a time as it can in float32, and sums them in 32 bits.
 *
 * A row of inputs is rounded to -TOP .. TOP with a scale of its own. A row of weights is rounded so that the sum of its
 * sizes times TOP stays below 2^31 (models/reduced/int16.py): no sum of products overflows, whatever the inputs are.
 * Norms, GELU, attention and the sums of the residual stream are in float32.
 */

#include <stdint.h>

#if defined(__x86_64__) && defined(__GNUC__)

#include "blocks.h"

enum { TOP = 8191 };

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

/* Up to six rows of integers (`stride` apart) times sixteen rows of weights; into `out`, `apart` from row to row. The
 * weights that will be wanted next, those after these, are fetched meanwhile. */
INLINE void tile(const int16_t *x, int64_t stride, const float *x_scales, const int16_t *weights, const float *scales,
                 int64_t in, int rows, float *out, int64_t apart) {
    __m256i sums[ROWS][2];
    UNROLL for (int i = 0; i < rows; i++) sums[i][0] = sums[i][1] = _mm256_setzero_si256();
    for (int64_t k = 0; k < in; k += 2, weights += 2 * OUTPUTS) {
        _mm_prefetch((const char *)(weights + in * OUTPUTS), _MM_HINT_T1);
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

#define TILE(rows) tile(from, by->in, scales + i, weights, by->scales + n, by->in, rows, into, by->out)

/* The weights lie as (out / 16, in / 2, 16, 2); `scales` are what their integers are to be multiplied by. */
static WIDE void multiply(const product *by, const float *x, int64_t rows, float *out, void *room) {
    float scales[CHUNK];
    int16_t *integers = room;
    for (int64_t i = 0; i < rows; i++) scales[i] = rounded(x + i * by->in, by->in, integers + i * by->in);
    for (int64_t n = 0; n < by->out; n += OUTPUTS) {
        const int16_t *weights = (const int16_t *)by->weights + n * by->in;
        for (int64_t i = 0; i < rows;) {
            const int next = height(rows - i);
            const int16_t *from = integers + i * by->in;
            float *into = out + i * by->out + n;
            switch (next) {
                case 6: TILE(6); break;
                case 5: TILE(5); break;
                case 4: TILE(4); break;
                case 3: TILE(3); break;
                case 2: TILE(2); break;
                default: TILE(1); break;
            }
            i += next;
        }
    }
}

EXPORT int64_t align_eval_int16_top(void) { return TOP; }

EXPORT WIDE void align_eval_int16_block(const block *own, const float *x, const int64_t *lengths, int64_t sentences,
                                        int64_t longest, float *scratch, float *states) {
    run_block(own, x, lengths, sentences, longest, scratch, states, multiply);
}

EXPORT WIDE void align_eval_int16_product(const product *by, const float *x, int64_t rows, float *room, float *out) {
    run_product(by, x, rows, room, out, multiply);
}

#endif
