/* The blocks of an encoder with matrix products in float32, for processors with AVX2 and FMA.
 *
 * Each sum is taken over its products in their order, by fused multiply-adds, in parts of up to DEPTH: what a row gives
 * does not depend on the rows beside it.
 */

#include <stdint.h>

#if defined(__x86_64__) && defined(__GNUC__)

#include "blocks.h"

enum { DEPTH = 512 };

/* Up to six rows (`stride` apart) times sixteen outputs (depth, 16), into `out`, `apart` from row to row,
 * or added to what it has. The weights that will be wanted next, those after these, are fetched meanwhile. */
INLINE void tile(const float *x, int64_t stride, const float *weights, int64_t depth, int rows, int more, float *out,
                 int64_t apart) {
    lanes sums[ROWS][2];
    UNROLL for (int i = 0; i < rows; i++) sums[i][0] = sums[i][1] = _mm256_setzero_ps();
    for (int64_t k = 0; k < depth; k++, weights += OUTPUTS) {
        const lanes left = _mm256_loadu_ps(weights), right = _mm256_loadu_ps(weights + 8);
        _mm_prefetch((const char *)(weights + depth * OUTPUTS), _MM_HINT_T1);
        UNROLL for (int i = 0; i < rows; i++) {
            const lanes given = _mm256_broadcast_ss(x + i * stride + k);
            sums[i][0] = _mm256_fmadd_ps(given, left, sums[i][0]);
            sums[i][1] = _mm256_fmadd_ps(given, right, sums[i][1]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++) {
        float *at = out + i * apart;
        _mm256_storeu_ps(at, more ? _mm256_add_ps(sums[i][0], _mm256_loadu_ps(at)) : sums[i][0]);
        _mm256_storeu_ps(at + 8, more ? _mm256_add_ps(sums[i][1], _mm256_loadu_ps(at + 8)) : sums[i][1]);
    }
}

/* The same of any number of rows; `more`: added to what `out` has. */
INLINE void tiles(const float *x, int64_t stride, const float *weights, int64_t depth, int64_t rows, int more, float *out,
                  int64_t apart) {
    for (int64_t i = 0; i < rows;) {
        const int next = height(rows - i);
        switch (next) {
            case 6: tile(x, stride, weights, depth, 6, more, out, apart); break;
            case 5: tile(x, stride, weights, depth, 5, more, out, apart); break;
            case 4: tile(x, stride, weights, depth, 4, more, out, apart); break;
            case 3: tile(x, stride, weights, depth, 3, more, out, apart); break;
            case 2: tile(x, stride, weights, depth, 2, more, out, apart); break;
            default: tile(x, stride, weights, depth, 1, more, out, apart); break;
        }
        i += next;
        x += next * stride;
        out += next * apart;
    }
}

/* The weights lie as (out / 16, depth, 16), for one part of the inputs after the other. */
static WIDE void multiply(const product *by, const float *x, int64_t rows, float *out, void *room) {
    const float *weights = by->weights;
    (void)room;
    for (int64_t k = 0; k < by->in; k += DEPTH) {
        const int64_t depth = least(DEPTH, by->in - k);
        for (int64_t n = 0; n < by->out; n += OUTPUTS, weights += depth * OUTPUTS) {
            if (k)
                tiles(x + k, by->in, weights, depth, rows, 1, out + n, by->out);
            else
                tiles(x, by->in, weights, depth, rows, 0, out + n, by->out);
        }
    }
}

EXPORT int64_t align_eval_float32_depth(void) { return DEPTH; }

/* Numbers of float32 that `scratch` has to hold, for blocks of float32 and of integers. */
EXPORT WIDE int64_t align_eval_blocks_scratch(int64_t width, int64_t inner, int64_t heads, int64_t longest) {
    const int64_t rows = most(longest, CHUNK), head = width / heads;
    return most(rows * 3 * width, CHUNK * inner) + rows * width + 2 * CHUNK * width + (head + 4) * (longest + 8) +
           4 * head;
}

EXPORT WIDE void align_eval_float32_block(const block *own, const float *x, const int64_t *lengths, int64_t sentences,
                                          int64_t longest, float *scratch, float *states) {
    run_block(own, x, lengths, sentences, longest, scratch, states, multiply);
}

EXPORT WIDE void align_eval_float32_product(const product *by, const float *x, int64_t rows, float *room, float *out) {
    run_product(by, x, rows, room, out, multiply);
}

#endif
