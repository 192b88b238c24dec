/* The blocks of an encoder of the BERT kind for sentences that lie one after the other, on one thread, whatever numbers
 * their products are computed in: floats.c and integers.c say how rows are multiplied.
 *
 * Sentences go through a block in groups of up to CHUNK rows (a longer one by itself), so that what lies between the
 * products stays in cache; of the weights, sixteen outputs at a time are read for all rows of the group.
 */

#ifndef ALIGN_EVAL_BLOCKS_H
#define ALIGN_EVAL_BLOCKS_H

#include "lanes.h"

enum { ROWS = 6, OUTPUTS = 16, CHUNK = 72 };

/* x W^T. How `weights` lie, floats.c and integers.c say; `scales` (out): of integers only. */
typedef struct {
    int64_t in, out;
    const void *weights;
    const float *scales;
} product;

/* One block. `qkv`: queries, keys and values, one after the other; weight and shift are those of norms. */
typedef struct {
    product qkv, out, up, down;
    const float *query_bias, *value_bias;
    const float *out_bias, *out_weight, *out_shift;
    const float *up_bias;
    const float *down_bias, *down_weight, *down_shift;
    float out_epsilon, down_epsilon;
    int64_t heads;
} block;

/* Writes the product of up to CHUNK rows into `out` (rows, out of the product). Rows of integers go into `room`, which may
 * be x: as many as there are of x. */
typedef void multiplier(const product *by, const float *x, int64_t rows, float *out, void *room);

void align_eval_attention(const float *query, const float *key, const float *value, const float *query_bias,
                          const float *value_bias, int64_t sentences, int64_t length, int64_t heads, int64_t width,
                          int64_t stride, float *scratch, float *out);

/* Rows of the next tile, of up to six, when so many are left: so that, from twelve on, none has fewer than four, which
 * would leave the processor waiting for sums. */
INLINE int height(int64_t rows) {
    static const int first[] = {0, 1, 2, 3, 4, 5, 6, 4, 4, 5, 6, 6, 6, 5};
    return rows < 14 ? first[rows] : ROWS;
}

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t most(int64_t a, int64_t b) { return a < b ? b : a; }

/* Parts of at most CHUNK rows, nearly equal: the rows of each. */
INLINE int64_t part_of(int64_t rows) {
    const int64_t parts = (rows + CHUNK - 1) / CHUNK;
    return parts ? (rows + parts - 1) / parts : 0;
}

/* A block of `sentences` with `lengths` rows; x and states (sum of lengths, width), which may be the same. */
INLINE void run_block(const block *own, const float *x, const int64_t *lengths, int64_t sentences, int64_t longest,
                      float *scratch, float *states, multiplier multiply) {
    const int64_t width = own->out.out, inner = own->up.out, rows_of_all = most(longest, CHUNK);
    float *wide = scratch; /* after the attention, projections are needed no more */
    float *mixed = wide + most(rows_of_all * 3 * width, CHUNK * inner);
    float *made = mixed + rows_of_all * width, *room = made + CHUNK * width, *scores = room + CHUNK * width;
    for (int64_t sentence = 0; sentence < sentences;) {
        int64_t last = sentence, rows = 0;
        do rows += lengths[last++];
        while (last < sentences && rows + lengths[last] <= CHUNK);
        const int64_t size = part_of(rows);
        for (int64_t begin = 0; begin < rows; begin += size)
            multiply(&own->qkv, x + begin * width, least(size, rows - begin), wide + begin * 3 * width, room);
        for (int64_t row = 0; sentence < last;) {
            const int64_t length = lengths[sentence];
            int64_t same = 0;
            do same++;
            while (++sentence < last && lengths[sentence] == length);
            const float *query = wide + row * 3 * width;
            align_eval_attention(query, query + width, query + 2 * width, own->query_bias, own->value_bias, same, length,
                                 own->heads, width / own->heads, 3 * width, scores, mixed + row * width);
            row += same * length;
        }
        for (int64_t begin = 0; begin < rows; begin += size) {
            const int64_t count = least(size, rows - begin);
            const float *before = x + begin * width;
            float *out = states + begin * width;
            multiply(&own->out, mixed + begin * width, count, made, room);
            for (int64_t i = 0; i < count; i++)
                add_and_norm(made + i * width, own->out_bias, before + i * width, own->out_weight, own->out_shift,
                             own->out_epsilon, width, out + i * width);
            multiply(&own->up, out, count, wide, room);
            for (int64_t i = 0; i < count; i++)
                for (int64_t k = 0; k < inner; k += 8) {
                    float *at = wide + i * inner + k;
                    _mm256_storeu_ps(at, gelu(_mm256_add_ps(_mm256_loadu_ps(at), _mm256_loadu_ps(own->up_bias + k))));
                }
            multiply(&own->down, wide, count, made, wide);
            for (int64_t i = 0; i < count; i++)
                add_and_norm(made + i * width, own->down_bias, out + i * width, own->down_weight, own->down_shift,
                             own->down_epsilon, width, out + i * width);
        }
        x += rows * width;
        states += rows * width;
    }
}

/* x W^T of any number of rows; `room` as of CHUNK rows of x. */
INLINE void run_product(const product *by, const float *x, int64_t rows, float *room, float *out, multiplier multiply) {
    const int64_t size = part_of(rows);
    for (int64_t begin = 0; begin < rows; begin += size)
        multiply(by, x + begin * by->in, least(size, rows - begin), out + begin * by->out, room);
}

#endif
