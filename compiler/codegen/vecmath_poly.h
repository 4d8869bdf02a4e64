/* codegen/vecmath_poly.h: coefficients of vecmath, lowest power first. Printed by
 * scripts/minimax.py; edit that. The error of each polynomial is relative to the function named.
 */
#ifndef DLC_CODEGEN_VECMATH_POLY_H
#define DLC_CODEGEN_VECMATH_POLY_H

#include <stdint.h>

/* log 2: n times the first part is exact for |n| < 512 */
static const double ln2_f32[2] = {
    0x1.62e4000000000p-1,
    0x1.7f7d1c0000000p-20,
};

/* log 2: n times the first part is exact for |n| < 2048 */
static const double ln2_f64[2] = {
    0x1.62e42fefa3800p-1,
    0x1.ef35793c76730p-45,
};

/* pi / 2 */
static const double half_pi_f64[3] = {
    0x1.921fb54442d18p+0,
    0x1.1a62633145c07p-54,
    -0x1.f1976b7ed8fbcp-110,
};

/* pi / 2: n times the first two parts is exact for |n| < 2^30 */
static const double half_pi_short[3] = {
    0x1.921fb40000000p+0,
    0x1.4442d00000000p-24,
    0x1.8469898cc5170p-48,
};

/* exp(r) = 1 + r + r^2 p(r); on [-0.347613, 0.347613]: 2^-27.93 */
static const double exp_f32[5] = {
    0x1.fffffc0000000p-2, 0x1.5554900000000p-3,  0x1.5558fc0000000p-5,
    0x1.123b9a0000000p-7, 0x1.6a214a0000000p-10,
};

/* expm1(r) = r + r^2 p(r); on [-0.347613, 0.347613]: 2^-28.75 */
static const double expm1_f32[6] = {
    0x1.0000000000000p-1, 0x1.5555540000000p-3,  0x1.5554b00000000p-5,
    0x1.11118a0000000p-7, 0x1.6d73f80000000p-10, 0x1.a032da0000000p-13,
};

/* log(1 + f) = f - f^2/2 + f^3 p(f); on [-0.293186, 0.414628]: 2^-28.0 */
static const double log_f32[9] = {
    0x1.5555480000000p-2,  -0x1.0000060000000p-2, 0x1.99a4ca0000000p-3,
    -0x1.555c5c0000000p-3, 0x1.2335b20000000p-3,  -0x1.fc1d540000000p-4,
    0x1.e707080000000p-4,  -0x1.de65ac0000000p-4, 0x1.1456e00000000p-4,
};

/* tanh(x) = x + x^3 p(x^2); on [1.0e-12, 0.390625]: 2^-27.72 */
static const double tanh_f32[5] = {
    -0x1.5555320000000p-2, 0x1.1106f60000000p-3,  -0x1.b835a40000000p-5,
    0x1.51f8ce0000000p-6,  -0x1.750ce80000000p-8,
};

/* sin(x) = x + x^3 p(x^2); on [1.0e-12, 0.618085]: 2^-27.89 */
static const double sin_f32[3] = {
    -0x1.5555460000000p-3,
    0x1.1107740000000p-7,
    -0x1.9951ea0000000p-13,
};

/* cos(x) = 1 - x^2/2 + x^4 p(x^2); on [1.0e-12, 0.618085]: 2^-32.99 */
static const double cos_f32[3] = {
    0x1.55554a0000000p-5,
    -0x1.6c0c280000000p-10,
    0x1.99e80c0000000p-16,
};

/* erf(x) = x + x p(x^2); on [1.0e-12, 1.0]: 2^-29.39 */
static const double erf_small_f32[7] = {
    0x1.06eba80000000p-3, -0x1.81273e0000000p-2,  0x1.ce2ce60000000p-4,  -0x1.b7f71a0000000p-6,
    0x1.53f2240000000p-8, -0x1.a3515e0000000p-11, 0x1.4771fc0000000p-14,
};

/* erf(t) = 1 - exp(t p(t)); on [0.999, 4.0]: 2^-31.06 */
static const double erf_large_f32[7] = {
    -0x1.20f2140000000p+0, -0x1.451afc0000000p-1, -0x1.b456840000000p-4,  0x1.89573a0000000p-6,
    -0x1.ec5b740000000p-9, 0x1.6f5bb60000000p-12, -0x1.d3b4b20000000p-17,
};

/* exp(r) = 1 + r + r^2 p(r); on [-0.347613, 0.347613]: 2^-59.15 */
static const double exp_f64[11] = {
    0x1.0000000000000p-1,  0x1.555555555555cp-3,  0x1.5555555555500p-5,  0x1.111111110eb82p-7,
    0x1.6c16c16c30e17p-10, 0x1.a01a01b3d4ee4p-13, 0x1.a01a0134b787fp-16, 0x1.71ddef4422490p-19,
    0x1.27e5b66b9656bp-22, 0x1.af6d6ee330ac2p-26, 0x1.1e3c27b881aebp-29,
};

/* expm1(r) = r + r^2 p(r); on [-0.347613, 0.347613]: 2^-59.31 */
static const double expm1_f64[12] = {
    0x1.0000000000000p-1,  0x1.5555555555555p-3,  0x1.5555555555559p-5,  0x1.1111111111105p-7,
    0x1.6c16c16c14d89p-10, 0x1.a01a01a020bbcp-13, 0x1.a01a01adca681p-16, 0x1.71de3a3d06e21p-19,
    0x1.27e4cbf0f80fcp-22, 0x1.ae649a23720fcp-26, 0x1.1f8b9e02b5ad3p-29, 0x1.61282791a0b08p-33,
};

/* log((1 + s)/(1 - s)) = 2s + s^3 p(s^2); on [1.0e-12, 0.029545]: 2^-59.45 */
static const double log_f64[7] = {
    0x1.5555555555594p-1, 0x1.999999997f409p-2, 0x1.24924942866a7p-2, 0x1.c71c5186b5981p-3,
    0x1.74665b87b2df5p-3, 0x1.399eab959323dp-3, 0x1.2f25e3dbafb2dp-3,
};

/* log((1 + s)/(1 - s)) = 2s + 2/3 s^3 + s^5 p(s^2); on [1.0e-12, 0.029545]: 2^-73.32 */
static const double log_tail_f64[8] = {
    0x1.9999999999995p-2, 0x1.2492492493193p-2, 0x1.c71c71c55709bp-3, 0x1.745d18460cfc3p-3,
    0x1.3b135d7b43e06p-3, 0x1.11217dbdc6981p-3, 0x1.de13e12c0ed1fp-4, 0x1.ec16823ea5b81p-4,
};

/* tanh(x) = x + x^3 p(x^2); on [1.0e-12, 0.390625]: 2^-61.19 */
static const double tanh_f64[12] = {
    -0x1.5555555555552p-2,  0x1.1111111110c52p-3,  -0x1.ba1ba1b9d195ep-5,  0x1.664f4870c2fedp-6,
    -0x1.226e32cf946e8p-7,  0x1.d6d35a37a19d3p-9,  -0x1.7d9c3306a15a3p-10, 0x1.350b87262b62bp-11,
    -0x1.f113487218f71p-13, 0x1.801b7532bd3ccp-14, -0x1.fac53c9852ad2p-16, 0x1.9604d72750089p-18,
};

/* sin(x) = x + x^3 p(x^2); on [1.0e-12, 0.618085]: 2^-63.23 */
static const double sin_f64[7] = {
    -0x1.5555555555555p-3,  0x1.1111111111069p-7,  -0x1.a01a019ffe523p-13, 0x1.71de3a33a57d2p-19,
    -0x1.ae642c51aa736p-26, 0x1.6109bd733cb86p-33, -0x1.9ffd795074d2cp-41,
};

/* cos(x) = 1 - x^2/2 + x^4 p(x^2); on [1.0e-12, 0.618085]: 2^-68.97 */
static const double cos_f64[7] = {
    0x1.5555555555555p-5,  -0x1.6c16c16c16b30p-10, 0x1.a01a019ffcb8dp-16, -0x1.27e4fb5a22b62p-22,
    0x1.1eed6f84fcc91p-29, -0x1.93745a576f097p-37, 0x1.9db29f3597d21p-45,
};

/* erf(x) = x + x p(x^2); on [1.0e-12, 1.0]: 2^-56.32 */
static const double erf_small_f64[14] = {
    0x1.06eba8214db69p-3,  -0x1.812746b037a31p-2,  0x1.ce2f21a046ba4p-4,  -0x1.b82ce313e1a9dp-6,
    0x1.565bcd4b223bcp-8,  -0x1.c02dc0bdae053p-11, 0x1.f9a4debc0b7d5p-14, -0x1.f4fa20c57c425p-17,
    0x1.bc5d519091ebcp-20, -0x1.7a46a56aece1dp-23, 0x1.c3a442af5b5abp-26, -0x1.143844df41c49p-27,
    0x1.502593dda0706p-29, -0x1.916b82446fb11p-32,
};

/* erf(t) = 1 - exp(-t^2) p(u) / (1 + 2t), u = (t - 2) / (t + 2); on [-0.333778, 0.5]: 2^-56.13 */
static const double erf_large_f64[16] = {
    0x1.46e80e2277953p+0,   -0x1.7bf5ec1700631p-4,  -0x1.5407bebf32433p-3,  0x1.4ffa1e14e27f2p-3,
    -0x1.bc2b95619cbffp-5,  -0x1.074234053c232p-7,  0x1.1dd2ec93800a2p-7,   0x1.4d461f46bef3ap-10,
    -0x1.7de51ce529194p-10, -0x1.dc6a26c203151p-12, 0x1.b0bf1ce175c04p-13,  0x1.3cca573ac9475p-13,
    -0x1.4680982c5b8e5p-20, -0x1.2d4cf68667234p-15, -0x1.e74d7d04017f1p-17, -0x1.bc087f9dccad6p-21,
};

/* The binary digits of 2/pi behind the point, after a word of zeros; 64 in a word, first ones
 * first. */
static const uint64_t two_over_pi[22] = {
    0x0000000000000000u, 0xa2f9836e4e441529u, 0xfc2757d1f534ddc0u, 0xdb6295993c439041u,
    0xfe5163abdebbc561u, 0xb7246e3a424dd2e0u, 0x06492eea09d1921cu, 0xfe1deb1cb129a73eu,
    0xe88235f52ebb4484u, 0xe99c7026b45f7e41u, 0x3991d639835339f4u, 0x9c845f8bbdf9283bu,
    0x1ff897ffde05980fu, 0xef2f118b5a0a6d1fu, 0x6d367ecf27cb09b7u, 0x4f463f669e5fea2du,
    0x7527bac7ebe5f17bu, 0x3d0739f78a5292eau, 0x6bfb5fb11f8d5d08u, 0x56033046fc7b6babu,
    0xf0cfbc209af4361du, 0x0000000000000000u,
};

#endif
