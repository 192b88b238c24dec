/* Links in text to columns, and two sorted tables of links to counts.
 *
 * Plain C without Python's headers: called through ctypes, which lets other threads run meanwhile. Every function has a
 * twin in numpy (corpora/link_formats/_vector.py, scoring/counts.py) that is taken where this file was not compiled;
 * both give the same, and tests compare them.
 */

#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Inlined, what is found so far stays in registers. */
#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

/* To be raised with every change of what a function takes or gives: the loader leaves a file of another number alone. */
#define INTERFACE 4

EXPORT int32_t align_eval_interface(void) { return INTERFACE; }

enum { MOST_DIGITS = 9 };

/* What is found while parsing; ascending: no link is equal to, or sorts before, the one before it in its sentence. */
struct state {
    int32_t *sentence, *first, *second;
    uint8_t *sure;
    int64_t links;
    int32_t line;
    int32_t least; /* the lowest index of all */
    int ascending;
    int64_t before; /* the link before, both numbers in one */
};

INLINE void add(struct state *s, int32_t first, int32_t second, uint8_t sure) {
    const int64_t link = (int64_t)first << 32 | second;
    const int64_t at = s->links++;
    s->ascending &= link > s->before;
    s->before = link;
    s->least = first < s->least ? first : s->least;
    s->least = second < s->least ? second : s->least;
    s->sentence[at] = s->line;
    s->first[at] = first;
    s->second[at] = second;
    s->sure[at] = sure;
}

INLINE void end_line(struct state *s) {
    s->line++;
    s->before = -1;
}

INLINE int is_digit(uint8_t c) { return (uint8_t)(c - '0') < 10; }

/* A number of one to nine digits from p on; NULL if there is none, or a longer one. The byte at the end is no digit. */
INLINE const uint8_t *number(const uint8_t *p, int32_t *value) {
    const uint8_t *begin = p;
    int32_t sum = 0;
    for (; is_digit(*p); p++) {
        if (p - begin == MOST_DIGITS) return NULL;
        sum = sum * 10 + (*p - '0');
    }
    *value = sum;
    return p == begin ? NULL : p;
}

/* One link or one separator from p on, byte by byte; NULL if it is out of the ordinary. */
INLINE const uint8_t *step(struct state *s, const uint8_t *p) {
    int32_t first, second;
    uint8_t sure;
    if (*p == ' ') return p + 1;
    if (*p == '\n') {
        end_line(s);
        return p + 1;
    }
    if (*p == '\r') return p[1] == '\n' ? p + 1 : NULL;
    if (!(p = number(p, &first))) return NULL;
    if (*p != '-' && *p != 'p' && *p != '?') return NULL;
    sure = *p == '-';
    if (!(p = number(p + 1, &second))) return NULL;
    if (*p == '-' && (p[1] == 'S' || p[1] == 'P')) p++;
    if (*p == 'S') {
        if (!sure) return NULL;
        p++;
    } else if (*p == 'P') {
        sure = 0;
        p++;
    }
    if (*p != ' ' && *p != '\n' && !(*p == '\r' && p[1] == '\n')) return NULL;
    add(s, first, second, sure);
    return p;
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && defined(__GNUC__)
#define EIGHT_AT_ONCE 1
#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The number whose digits (0 to 9, a byte each, the highest first) are the lowest `count` bytes, 1 to 7 of them. */
INLINE int32_t value(uint64_t digits, int count) {
    digits <<= 64 - 8 * count;
    digits = digits * 10 + (digits >> 8); /* pairs of digits in every other byte */
    return (int32_t)((((digits & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x000F424000000064)) +
                      (((digits >> 16) & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x0000271000000001))) >> 32);
}

/* A link of seven bytes at most and the separator after it, eight bytes at once without a branch for each digit.
 * NULL if what stands at p is longer or anything else; then nothing was added. */
INLINE const uint8_t *eight(struct state *s, const uint8_t *p) {
    uint64_t bytes, others;
    int one, two;
    uint8_t mark, stop;
    memcpy(&bytes, p, 8);
    bytes ^= EACH('0'); /* digits are 0 to 9 now */
    others = (((bytes & EACH(0x7F)) + EACH(0x76)) | bytes) & EACH(0x80);
    if (!others) return NULL;
    one = __builtin_ctzll(others) >> 3;
    others &= others - 1;
    if (!others || one == 0) return NULL;
    two = __builtin_ctzll(others) >> 3;
    if (two == one + 1) return NULL;
    mark = p[one];
    stop = p[two];
    if ((mark != '-' && mark != 'p' && mark != '?') || (stop != ' ' && stop != '\n')) return NULL;
    add(s, value(bytes, one), value(bytes >> (8 * (one + 1)), two - one - 1), mark == '-');
    if (stop == '\n') end_line(s);
    return p + two + 1;
}
#endif

/* How many bytes end a link: spaces and line feeds. Counted in bytes that do not overflow, so that it is vectorised. */
EXPORT int64_t align_eval_gaps(const uint8_t *text, int64_t length) {
    enum { LANES = 32, MOST = 255 };
    int64_t all = 0, at = 0;
    while (length - at >= LANES) {
        uint8_t lanes[LANES] = {0};
        for (int round = 0; round < MOST && length - at >= LANES; round++, at += LANES)
            for (int k = 0; k < LANES; k++) lanes[k] = (uint8_t)(lanes[k] + (text[at + k] == ' ' || text[at + k] == '\n'));
        for (int k = 0; k < LANES; k++) all += lanes[k];
    }
    for (; at < length; at++) all += text[at] == ' ' || text[at] == '\n';
    return all;
}

/* Parse whole lines of links: `i-j`, `ipj`, `i?j`, each perhaps with S, -S, P or -P, between spaces.
 *
 * text      length bytes; the last one is a line feed.
 * sentence, first, second, sure   room for a link before every space and line feed.
 * found     links, sentences, whether the links of each ascend, the lowest index (2**31 - 1 without links).
 * Returns 0, or 1 if anything is out of the ordinary; then the columns hold nothing of use.
 */
EXPORT int32_t align_eval_parse(const uint8_t *text, int64_t length, int32_t *sentence, int32_t *first, int32_t *second,
                                uint8_t *sure, int64_t *found) {
    struct state s = {sentence, first, second, sure, 0, 0, INT32_MAX, 1, -1};
    const uint8_t *p = text, *end = text + length;
    if (length && end[-1] != '\n') return 1;
#ifdef EIGHT_AT_ONCE
    while (end - p >= 8) {
        const uint8_t *next = eight(&s, p);
        if (!next) next = step(&s, p);
        if (!next) return 1;
        p = next;
    }
#endif
    while (p < end) {
        p = step(&s, p);
        if (!p) return 1;
    }
    found[0] = s.links;
    found[1] = s.line;
    found[2] = s.ascending;
    found[3] = s.least;
    return 0;
}

/* The links of one sentence pair. */
struct links {
    const int32_t *source, *target;
    int64_t size;
};

/* A table of pairs of words for links whose indices are below SIDE. A cell holds twice the number of the sentence pair
 * that wrote it, and one more for a sure link, so that it need not be emptied after each: numbers are from 1 to LAST. */
enum { BITS = 8, SIDE = 1 << BITS, LAST = 127 };

struct table {
    uint8_t cells[SIDE * SIDE];
    int number;
};

/* The cell of a link; of links with higher indices any cell. */
INLINE uint16_t cell(struct links links, int64_t k) {
    return (uint16_t)((uint32_t)links.source[k] << BITS | (uint8_t)links.target[k]);
}

/* Into `counts`: how many links of the gold are sure; how many of `links` are sure there; how many are there. Through
 * the table: no step waits for the one before. Returns whether all indices are below SIDE; else the counts are wrong. */
static int look_up(struct links gold, const uint8_t *sure, struct links links, struct table *table, int32_t *counts) {
    int32_t all = 0, certain = 0, possible = 0;
    uint32_t bits = 0;
    if (table->number == LAST) memset(table, 0, sizeof *table);
    const int mark = 2 * ++table->number;
    for (int64_t k = 0; k < gold.size; k++) {
        all += sure[k];
        bits |= (uint32_t)gold.source[k] | (uint32_t)gold.target[k];
        table->cells[cell(gold, k)] = (uint8_t)(mark + sure[k]);
    }
    for (int64_t k = 0; k < links.size; k++) {
        const int found = table->cells[cell(links, k)];
        bits |= (uint32_t)links.source[k] | (uint32_t)links.target[k];
        certain += found == mark + 1;
        possible += found == mark;
    }
    counts[0] = all;
    counts[1] = certain;
    counts[2] = certain + possible;
    return bits < SIDE;
}

/* The same by merging, for sorted, unique links of any index. */
static void merge(struct links gold, const uint8_t *sure, struct links links, int32_t *counts) {
    int64_t g = 0, a = 0;
    counts[0] = counts[1] = counts[2] = 0;
    for (int64_t k = 0; k < gold.size; k++) counts[0] += sure[k];
    while (g < gold.size && a < links.size) {
        const int64_t one = (int64_t)gold.source[g] << 32 | gold.target[g];
        const int64_t other = (int64_t)links.source[a] << 32 | links.target[a];
        counts[1] += (one == other) & sure[g];
        counts[2] += one == other;
        g += one <= other;
        a += other <= one;
    }
}

/* Count |A|, |S|, |A and S| and |A and P| of the sentence pairs `begin` to `end`, into four columns a row.
 *
 * Both tables are sorted by (sentence, source, target) without repetition; *_at: the first row of each sentence pair,
 * and the number of rows. Returns whether all indices are below SIDE.
 */
EXPORT int32_t align_eval_counts(int64_t begin, int64_t end, const int64_t *gold_at, const int32_t *gold_source,
                                 const int32_t *gold_target, const uint8_t *gold_sure, const int64_t *links_at,
                                 const int32_t *links_source, const int32_t *links_target, int32_t *counts) {
    struct table table;
    int32_t small = 1;
    memset(&table, 0, sizeof table);
    for (int64_t k = begin; k < end; k++) {
        const int64_t g = gold_at[k], a = links_at[k];
        const struct links gold = {gold_source + g, gold_target + g, gold_at[k + 1] - g};
        const struct links links = {links_source + a, links_target + a, links_at[k + 1] - a};
        int32_t *row = counts + 4 * k;
        row[0] = (int32_t)links.size;
        if (!look_up(gold, gold_sure + g, links, &table, row + 1)) {
            small = 0;
            merge(gold, gold_sure + g, links, row + 1);
        }
    }
    return small;
}
