/* bench/products.c: one matrix product by dlc and by libraries, in turn.
 *
 * in:   two objects of the product, with the batch as an index and with fixed sizes; libraries
 * out:  a JSON line: for each contender the median and the least time, and the FMA peak
 * built by products.py for each product, with
 *
 *     cc -O2 -march=native -DFORM=NT products.c dynamic.o fixed.o -ldl -lm
 *
 * (add -DWITH_XSMM -lxsmm -lxsmmnoblas for libxsmm) and run as
 *
 *     ./product BATCH OUT IN ROUNDS [NAME=LIBRARY]...
 *
 * A layer of OUT units on IN inputs makes three products, all row-major:
 *     NT  y[batch, out] = sum[in]    x[batch, in]  * w[out, in]   forward
 *     NN  h[batch, in]  = sum[out]   g[batch, out] * w[out, in]   gradient of the data
 *     TN  d[out, in]    = sum[batch] g[batch, out] * x[batch, in] gradient of the weights
 *
 * In a round each contender multiplies for about a millisecond, so that whatever else the machine
 * does meets all of them. Every result is compared with sums in double precision.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef WITH_XSMM
#include <libxsmm.h>
#endif

/* The forms, also for the preprocessor. */
#define NT 1
#define NN 2
#define TN 3

enum { ALIGNMENT = 64, MOST_CONTENDERS = 16, MOST_ROUNDS = 1000 };
enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 }; /* of cblas.h */

typedef struct Product {
    long m, n, k; /* c[m, n], a sum over k */
    const float *a, *b;
    float *c;
    long examples;
    void *arena;
} Product;

typedef void Cblas(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                   const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
typedef int Dnnl(char transpose_a, char transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                 const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                 int64_t ldc);

typedef struct Contender {
    const char *name;
    void (*multiply)(const struct Contender *own, const Product *p);
    Cblas *cblas;
    Dnnl *dnnl;
    void (*small)(const float *, const float *, float *);
    double flops; /* of one call */
    long repeats; /* of calls in a round */
    double times[MOST_ROUNDS];
} Contender;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *memory(size_t bytes) {
    void *block = aligned_alloc(ALIGNMENT, bytes / ALIGNMENT * ALIGNMENT + ALIGNMENT);
    if (!block) exit(1);
    return memset(block, 0, bytes);
}

/* ---- the contenders -------------------------------------------------------------------------- */

/* The product in which the batch is an index takes the weights as a parameter, as layers do. */
#if FORM == TN
#define OPERANDS(p) NULL, NULL, (p)->a, (p)->b, (p)->c
typedef void Forward(const float *params, const float *state, const float *a, const float *b,
                     float *c, int64_t n, void *arena);
#else
#define OPERANDS(p) (p)->b, NULL, (p)->a, (p)->c
typedef void Forward(const float *params, const float *state, const float *a, float *c, int64_t n,
                     void *arena);
#endif
typedef void ForwardFixed(const float *params, const float *state, const float *a, const float *b,
                          float *c, int64_t n, void *arena);
extern Forward dynamic_forward;
extern ForwardFixed fixed_forward;

static void by_dynamic(const Contender *own, const Product *p) {
    (void)own;
    dynamic_forward(OPERANDS(p), p->examples, p->arena);
}

static void by_fixed(const Contender *own, const Product *p) {
    (void)own;
    fixed_forward(NULL, NULL, p->a, p->b, p->c, 1, p->arena);
}

static void by_cblas(const Contender *own, const Product *p) {
    own->cblas(ROW_MAJOR, FORM == TN ? TRANSPOSED : PLAIN, FORM == NT ? TRANSPOSED : PLAIN,
               (int)p->m, (int)p->n, (int)p->k, 1, p->a, (int)(FORM == TN ? p->m : p->k), p->b,
               (int)(FORM == NT ? p->k : p->n), 0, p->c, (int)p->n);
}

static void by_dnnl(const Contender *own, const Product *p) {
    own->dnnl(FORM == TN ? 'T' : 'N', FORM == NT ? 'T' : 'N', p->m, p->n, p->k, 1, p->a,
              FORM == TN ? p->m : p->k, p->b, FORM == NT ? p->k : p->n, 0, p->c, p->n);
}

static void by_small(const Contender *own, const Product *p) {
    own->small(p->b, p->a, p->c);
}

/* Multiply-adds in registers: the sums depend on each other only far apart. */
static void by_nobody(const Contender *own, const Product *p) {
    enum { SUMS = 20, TURNS = 1000 };
    typedef float Vector __attribute__((vector_size(64)));
    Vector sums[SUMS];
    for (int i = 0; i < SUMS; i++) {
        sums[i] = (Vector){0};
        __asm__ volatile("" : "+v"(sums[i]));
    }
    Vector factor = (Vector){0} + p->a[0], addend = (Vector){0} + p->a[1];
    (void)own;
    for (long t = 0; t < TURNS; t++) {
#pragma GCC unroll 20
        for (int i = 0; i < SUMS; i++) sums[i] = sums[i] * factor + addend;
        __asm__ volatile("" : "+v"(factor));
    }
    Vector all = {0};
    for (int i = 0; i < SUMS; i++) all += sums[i];
    __asm__ volatile("" : : "v"(all));
}

static bool library(Contender *c, const char *path) {
    void *opened = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!opened) {
        fprintf(stderr, "%s\n", dlerror());
        return false;
    }
    *(void **)&c->cblas = dlsym(opened, "cblas_sgemm");
    *(void **)&c->dnnl = dlsym(opened, "dnnl_sgemm");
    c->multiply = c->dnnl ? by_dnnl : by_cblas;
    return c->dnnl || c->cblas;
}

/* Column-major: c^T = b^T a^T. libxsmm makes no code for a transposed first factor. */
static bool small_product(Contender *c, const Product *p) {
#ifdef WITH_XSMM
    int m = (int)p->n, n = (int)p->m, k = (int)p->k, lda = m, ldb = FORM == TN ? n : k, ldc = m;
    int flags = FORM == TN ? LIBXSMM_GEMM_FLAG_TRANS_B : LIBXSMM_GEMM_FLAG_NONE;
    float one = 1, zero = 0;
    if (FORM == NT || (double)m * n * k > 256. * 256 * 256 * 4) return false;
    *(libxsmm_smmfunction *)&c->small =
        libxsmm_smmdispatch(m, n, k, &lda, &ldb, &ldc, &one, &zero, &flags, NULL);
    c->multiply = by_small;
    return c->small != NULL;
#else
    (void)c, (void)p;
    return false;
#endif
}

/* ---- whether it is right --------------------------------------------------------------------- */

static double exact(const Product *p, long i, long j) {
    double sum = 0;
    for (long k = 0; k < p->k; k++)
        sum += (double)p->a[FORM == TN ? k * p->m + i : i * p->k + k] *
               (double)p->b[FORM == NT ? j * p->k + k : k * p->n + j];
    return sum;
}

/* A row and a column of the result, and its last element. */
static bool is_right(const Contender *c, const Product *p) {
    memset(p->c, 0xff, (size_t)(p->m * p->n) * sizeof(float));
    c->multiply(c, p);
    long row = p->m / 2, column = p->n / 2, count = p->m + p->n + 1;
    for (long at = 0; at < count; at++) {
        long i = at < p->m ? at : at < count - 1 ? row : p->m - 1;
        long j = at < p->m ? column : at < count - 1 ? at - p->m : p->n - 1;
        double error = fabs(exact(p, i, j) - (double)p->c[i * p->n + j]);
        if (!(error <= 1e-6 * (double)p->k + 1e-5)) {
            fprintf(stderr, "%s is wrong at [%ld, %ld] by %g\n", c->name, i, j, error);
            return false;
        }
    }
    return true;
}

/* ---- how long it takes ----------------------------------------------------------------------- */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double time_of(Contender *c, const Product *p) {
    double start = now();
    for (long i = 0; i < c->repeats; i++) c->multiply(c, p);
    return (now() - start) / (double)c->repeats;
}

static void calibrate(Contender *c, const Product *p) {
    for (c->repeats = 1; time_of(c, p) * (double)c->repeats < 5e-4;) c->repeats *= 2;
}

static void report(Contender *contenders, int ncontenders, int rounds) {
    printf("{");
    for (int i = 0; i < ncontenders; i++) {
        Contender *c = &contenders[i];
        qsort(c->times, (size_t)rounds, sizeof *c->times, ascending);
        printf("%s\"%s\":{\"median\":%.5g,\"best\":%.5g}", i ? "," : "", c->name,
               c->flops / c->times[rounds / 2] * 1e-9, c->flops / c->times[0] * 1e-9);
    }
    puts("}");
}

static float *numbers(long n) {
    float *all = memory((size_t)n * sizeof(float));
    for (long i = 0; i < n; i++) all[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    return all;
}

static Product product(long batch, long out, long in) {
    Product p = {.m = batch, .n = out, .k = in, .examples = batch};
    if (FORM == NN) p.n = in, p.k = out;
    if (FORM == TN) p.m = out, p.n = in, p.k = batch;
    p.a = numbers(p.m * p.k);
    p.b = numbers(p.k * p.n);
    p.c = memory((size_t)(p.m * p.n) * sizeof(float));
    p.arena = memory(ARENA + 1);
    return p;
}

int main(int argc, char **argv) {
    static Contender contenders[MOST_CONTENDERS];
    if (argc < 5) {
        fprintf(stderr, "usage: %s BATCH OUT IN ROUNDS [NAME=LIBRARY]...\n", argv[0]);
        return 2;
    }
    Product p = product(atol(argv[1]), atol(argv[2]), atol(argv[3]));
    int rounds = atoi(argv[4]) < MOST_ROUNDS ? atoi(argv[4]) : MOST_ROUNDS, n = 0;
    contenders[n++] = (Contender){.name = "dlc", .multiply = by_dynamic};
    contenders[n++] = (Contender){.name = "fixed", .multiply = by_fixed};
    contenders[n].name = "libxsmm";
    n += small_product(&contenders[n], &p);
    for (int i = 5; i < argc && n + 1 < MOST_CONTENDERS; i++) {
        char *path = strchr(argv[i], '=');
        if (!path) continue;
        *path = '\0';
        contenders[n] = (Contender){.name = argv[i]};
        n += library(&contenders[n], path + 1);
    }
    for (int i = 0; i < n; i++) {
        if (!is_right(&contenders[i], &p)) return 1;
        contenders[i].flops = 2.0 * (double)p.m * (double)p.n * (double)p.k;
    }
    contenders[n++] = (Contender){.name = "peak", .multiply = by_nobody, .flops = 2.0 * 16 * 20000};
    for (int i = 0; i < n; i++) calibrate(&contenders[i], &p);
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < n; i++) contenders[i].times[r] = time_of(&contenders[i], &p);
    report(contenders, n, rounds);
    return 0;
}
