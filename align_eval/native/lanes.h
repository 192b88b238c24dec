/* Eight numbers at a time, for processors with AVX2 and FMA; what the functions of encoders share. */

#ifndef ALIGN_EVAL_LANES_H
#define ALIGN_EVAL_LANES_H

#include <stdint.h>
#include <string.h>

#include <immintrin.h>
#include <math.h>

#define EXPORT __attribute__((visibility("default")))
#define WIDE __attribute__((target("avx2,fma")))
#define INLINE static inline __attribute__((always_inline, target("avx2,fma")))

#define UNROLL _Pragma("GCC unroll 8") /* what is indexed by such a loop stays in registers */

typedef __m256 lanes; /* eight numbers */

INLINE lanes all(float value) { return _mm256_set1_ps(value); }

/* e^x, for x from -86 to 88 (others are taken as these), within two units in the last place: 2^n times Taylor's series
 * on the rest, which is at most ln(2) / 2. */
INLINE lanes exponential(lanes x) {
    x = _mm256_min_ps(all(88.0f), _mm256_max_ps(all(-86.0f), x)); /* in this order NaN stays NaN */
    const lanes n = _mm256_round_ps(_mm256_mul_ps(x, all(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    lanes rest = _mm256_fnmadd_ps(n, all(0.693359375f), x); /* ln(2) in two parts */
    rest = _mm256_fnmadd_ps(n, all(-2.12194440e-4f), rest);
    lanes sum = all(1.0f / 5040);
    sum = _mm256_fmadd_ps(sum, rest, all(1.0f / 720));
    sum = _mm256_fmadd_ps(sum, rest, all(1.0f / 120));
    sum = _mm256_fmadd_ps(sum, rest, all(1.0f / 24));
    sum = _mm256_fmadd_ps(sum, rest, all(1.0f / 6));
    sum = _mm256_fmadd_ps(sum, rest, all(0.5f));
    sum = _mm256_fmadd_ps(sum, rest, all(1.0f));
    sum = _mm256_fmadd_ps(sum, rest, all(1.0f));
    const __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(sum, _mm256_castsi256_ps(power));
}

/* x (1 + erf(x / sqrt(2))) / 2 (Hendrycks & Gimpel 2016). The error function of z up to 3.92 is z P(z^2) / Q(z^2), fitted
 * to it within 2e-8, and 1 beyond; with the rounding of all steps, GELU is within 1e-6. */
INLINE lanes gelu(lanes x) {
    const lanes sign = all(-0.0f);
    const lanes z = _mm256_min_ps(_mm256_mul_ps(_mm256_andnot_ps(sign, x), all(0.707106781f)), all(3.92f));
    const lanes square = _mm256_mul_ps(z, z);
    lanes above = all(2.03473568e-6f), below = all(3.80703796e-5f);
    above = _mm256_fmadd_ps(above, square, all(2.87474351e-4f));
    below = _mm256_fmadd_ps(below, square, all(1.18807735e-3f));
    above = _mm256_fmadd_ps(above, square, all(3.86818739e-3f));
    below = _mm256_fmadd_ps(below, square, all(1.51720224e-2f));
    above = _mm256_fmadd_ps(above, square, all(5.30600569e-2f));
    below = _mm256_fmadd_ps(below, square, all(1.15083352e-1f));
    above = _mm256_fmadd_ps(above, square, all(1.92761057e-1f));
    below = _mm256_fmadd_ps(below, square, all(5.04161707e-1f));
    above = _mm256_fmadd_ps(above, square, all(1.12837902f));
    below = _mm256_fmadd_ps(below, square, all(1.0f));
    const lanes error = _mm256_min_ps(_mm256_div_ps(_mm256_mul_ps(z, above), below), all(1.0f));
    const lanes half = _mm256_mul_ps(x, all(0.5f));
    return _mm256_fmadd_ps(half, _mm256_or_ps(error, _mm256_and_ps(x, sign)), half);
}

INLINE float total(lanes x) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_shuffle_ps(sum, sum, 1)));
}

INLINE float greatest(lanes x) {
    __m128 most = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    most = _mm_max_ps(most, _mm_movehl_ps(most, most));
    return _mm_cvtss_f32(_mm_max_ss(most, _mm_shuffle_ps(most, most, 1)));
}

/* Layer norm (Ba et al. 2016) of one row, x + bias + before, into out, which may be `before`; x is overwritten. */
INLINE void add_and_norm(float *x, const float *bias, const float *before, const float *weight, const float *shift,
                         float epsilon, int64_t width, float *out) {
    lanes sum = _mm256_setzero_ps(), squares = _mm256_setzero_ps();
    for (int64_t k = 0; k < width; k += 8) {
        const lanes value = _mm256_add_ps(_mm256_add_ps(_mm256_loadu_ps(x + k), _mm256_loadu_ps(bias + k)),
                                          _mm256_loadu_ps(before + k));
        sum = _mm256_add_ps(sum, value);
        _mm256_storeu_ps(x + k, value);
    }
    const lanes mean = all(total(sum) / (float)width);
    for (int64_t k = 0; k < width; k += 8) {
        const lanes apart = _mm256_sub_ps(_mm256_loadu_ps(x + k), mean);
        squares = _mm256_fmadd_ps(apart, apart, squares);
    }
    const lanes scale = all(1.0f / sqrtf(total(squares) / (float)width + epsilon));
    for (int64_t k = 0; k < width; k += 8) {
        const lanes apart = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + k), mean), scale);
        _mm256_storeu_ps(out + k, _mm256_fmadd_ps(apart, _mm256_loadu_ps(weight + k), _mm256_loadu_ps(shift + k)));
    }
}

#endif
