/* Contractions as generated code, against plain loops: random index sets, sizes and layouts, so
 * that every form (broadcast, packed, dot), tile and tail occurs. The numbers are small multiples
 * of 1/8, for which all sums are exact: the results must have the same bits.
 *
 *     unit_contract            correctness
 *     unit_contract --speed    prints GFLOP/s of the products of a dense network's layers
 */
#include "codegen/codegen.h"
#include "runtime/abi.h"
#include "target/target.h"

#include "test.h"

#include <stdlib.h>
#include <time.h>

enum { MAX_INDICES = 8, MAX_BATCH = 24 };

/* One contraction c[..] = sum a[..] * b[..] with its memory. */
typedef struct Case {
    const char *name;
    const Machine *machine;
    bool f64, has_bias, is_long;
    bool blocks;     /* of rows and sums, operands copied, however small it is */
    bool bf16;       /* pairs of bf16 where they can be, whose products are exact here */
    bool rounded[2]; /* a, b: lie in memory as bf16 */
    Kernel kernel;
    Function function;
    Module module;
    Tensor *a, *b, *c, *d, *bias;
    const Expr *bias_read;
    int64_t n, max_batch; /* examples in the call, and at most */
    void *memory[5];
    void *arena;
} Case;

static uint64_t noise_state = 88172645463325252u;
static uint64_t noise(void) {
    noise_state ^= noise_state << 13;
    noise_state ^= noise_state >> 7;
    noise_state ^= noise_state << 17;
    return noise_state * 0x2545f4914f6cdd1du >> 8;
}

/* ---- building a case ----------------------------------------------------------------------------
 */

static bool contains(Index *const *list, uint32_t n, const Index *index) {
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == index) return true;
    return false;
}

static Tensor *make_tensor(Ctx *ctx, Module *m, const char *name, const int64_t *dims,
                           uint32_t rank) {
    return ir_tensor(ctx, m, TENSOR_LOCAL, sym(ctx, name), rank, dims, 0, (Span){0});
}

static Tensor *tensor_over(Ctx *ctx, Module *m, const char *name, Index *const *indices,
                           uint32_t n) {
    int64_t dims[MAX_INDICES + 1];
    for (uint32_t i = 0; i < n; i++) dims[i] = indices[i]->extent;
    return make_tensor(ctx, m, name, dims, n);
}

static Index **copied(Ctx *ctx, Index *const *list, uint32_t n) {
    Index **copy = ARENA_ARRAY(ctx->arena, Index *, n + 1);
    if (n) memcpy(copy, list, n * sizeof *copy);
    return copy;
}

static void append(Ctx *ctx, Index ***list, uint32_t *n, Index *index) {
    Index **grown = ARENA_ARRAY(ctx->arena, Index *, *n + 2);
    if (*n) memcpy(grown, *list, *n * sizeof *grown);
    grown[(*n)++] = index;
    *list = grown;
}

static void set_roles(Ctx *ctx, Kernel *k, Index *const *all, uint32_t n) {
    Roles *r = &k->roles;
    for (uint32_t i = 0; i < n; i++) {
        Index *index = all[i];
        bool in_a = ir_uses_index(r->a, index), in_b = ir_uses_index(r->b, index);
        bool in_c = contains(k->free, k->nfree, index);
        if (!in_c)
            append(ctx, &r->k, &r->nk, index);
        else if (in_a && in_b)
            append(ctx, &r->batch, &r->nbatch, index);
        else if (in_a)
            append(ctx, &r->m, &r->nm, index);
        else
            append(ctx, &r->n, &r->nn, index);
    }
    k->over = r->k;
    k->nover = r->nk;
    k->body = ir_mul(ctx, r->a, r->b);
}

static void place(Ctx *ctx, Function *f, Tensor *tensor, Place where, uint32_t slot) {
    Buffer *buffer = ARENA_NEW(ctx->arena, Buffer);
    int64_t bytes = tensor_elements(tensor, f->module->max_batch) * (f->f64 ? 8 : 4);
    *buffer = (Buffer){.tensor = tensor, .place = where, .slot = slot, .bytes = bytes};
    map_set(ctx->arena, &f->buffer_of, tensor, buffer);
}

/* c = acc, or with a bias c = max(acc + bias, 0), by a short or a long formula, and d = acc + 2 c.
 * `free` are the dimensions of c, `all` every index in the order of its loops. */
static void finish_case(Ctx *ctx, Case *t, const Expr *a, const Expr *b, Index *const *all,
                        uint32_t nall, Index *const *free_indices, uint32_t nfree, Index *vector) {
    Kernel *k = &t->kernel;
    const Machine *machine = t->machine;
    *k = (Kernel){
        .kind = KERNEL_CONTRACT, .name = sym(ctx, "c"), .op = REDUCE_SUM, .vector = vector};
    k->free = copied(ctx, free_indices, nfree);
    k->nfree = nfree;
    k->roles.a = a;
    k->roles.b = b;
    set_roles(ctx, k, all, nall);
    t->a = a->read.tensor;
    t->b = b->read.tensor;
    k->acc = tensor_over(ctx, &t->module, "acc", free_indices, nfree);
    t->c = tensor_over(ctx, &t->module, "c", free_indices, nfree);
    t->d = tensor_over(ctx, &t->module, "d", free_indices, nfree);
    k->stores = ARENA_ARRAY(ctx->arena, Store, 2);
    k->nstores = t->has_bias ? 2 : 1;
    const Expr *acc = ir_read_at(ctx, k->acc, k->free), *value = acc;
    uint32_t nbias = nfree && free_indices[nfree - 1]->extent != EXTENT_BATCH;
    t->bias = tensor_over(ctx, &t->module, "bias", free_indices + nfree - nbias, nbias);
    t->bias_read = ir_read_at(ctx, t->bias, free_indices + nfree - nbias);
    if (t->has_bias) value = ir_op2(ctx, OP_MAX, ir_add(ctx, acc, t->bias_read), ir_number(ctx, 0));
    k->stores[0] = (Store){t->c, k->free, value};
    const Expr *twice = ir_mul(ctx, ir_number(ctx, 2), ir_read_at(ctx, t->c, k->free));
    k->stores[1] = (Store){t->d, k->free, ir_add(ctx, acc, twice)};
    Function *f = &t->function;
    f->name = sym(ctx, t->name);
    f->module = &t->module;
    if (!t->max_batch) t->max_batch = MAX_BATCH;
    t->module.max_batch = t->max_batch;
    f->f64 = t->f64;
    vec_push(ctx->arena, &f->kernels, k);
    place(ctx, f, t->a, PLACE_INPUT, 0);
    place(ctx, f, t->b, PLACE_INPUT, 1);
    place(ctx, f, t->bias, PLACE_INPUT, 2);
    place(ctx, f, t->c, PLACE_RESULT, 0);
    place(ctx, f, t->d, PLACE_RESULT, 1);
    if (t->rounded[0]) map_set(ctx->arena, &f->rounded, t->a, t);
    if (t->rounded[1]) map_set(ctx->arena, &f->rounded, t->b, t);
    const PlanOptions options = {.f64 = t->f64,
                                 .bf16 = t->bf16,
                                 .pairs = machine->has_bf16,
                                 .pairs_all = true,
                                 .vector_bytes = machine->vector_bytes,
                                 .l1_bytes = machine->l1_bytes,
                                 .l2_bytes = machine->l2_bytes,
                                 .blocks_all = t->blocks};
    if (!plan_pairs(ctx, f, k, 1, &options)) k->blocking = plan_blocking(f, k, &options);
    f->workspace_bytes = f->arena_bytes = k->blocking.workspace_bytes;
}

static void choose_numbers(Case *t) {
    uint64_t kind = noise() % 6;
    t->f64 = kind < 2;
    t->bf16 = kind > 2;
    t->blocks = noise() % 2;
    for (uint32_t i = 0; i < 2; i++) t->rounded[i] = t->bf16 && noise() % 2;
}

static Index *new_index(Ctx *ctx, const char *name, int64_t extent) {
    return ir_index(ctx, sym(ctx, name), extent);
}

/* Puts the indices in a random order, a batch index first. */
static void shuffle(Index **list, uint32_t n) {
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = (uint32_t)(noise() % i);
        Index *t = list[i - 1];
        list[i - 1] = list[j], list[j] = t;
    }
    for (uint32_t i = 0; i < n; i++)
        if (list[i]->extent == EXTENT_BATCH) {
            Index *t = list[0];
            list[0] = list[i], list[i] = t;
        }
}

static void random_case(Ctx *ctx, Case *t, int number) {
    static const char *const names[] = {"p", "q", "r", "s", "t", "u", "v", "w"};
    Index *all[MAX_INDICES], *in_a[MAX_INDICES], *in_b[MAX_INDICES], *in_c[MAX_INDICES];
    uint32_t n = 0, na = 0, nb = 0, nc = 0;
    uint32_t counts[4] = {noise() % 4 == 0, noise() % 3, noise() % 3, 1 + noise() % 2};
    int64_t room = 40000; /* turns of all loops together */
    uint32_t batch_role = noise() % 6;
    for (uint32_t role = 0; role < 4; role++)
        for (uint32_t i = 0; i < counts[role]; i++) {
            bool is_batch = role == batch_role && i == 0 && room >= MAX_BATCH;
            int64_t most = noise() % 2 ? 70 : 20;
            if (most > room) most = room;
            int64_t extent = is_batch ? EXTENT_BATCH : 1 + (int64_t)(noise() % (uint64_t)most);
            room /= is_batch ? MAX_BATCH : extent;
            if (room < 1) room = 1;
            Index *index = new_index(ctx, names[n], extent);
            all[n++] = index;
            if (role != 2) in_a[na++] = index;
            if (role != 1) in_b[nb++] = index;
            if (role != 3) in_c[nc++] = index;
        }
    shuffle(in_a, na);
    shuffle(in_b, nb);
    shuffle(in_c, nc);
    t->name = arena_printf(ctx->arena, "random%d", number);
    choose_numbers(t);
    t->has_bias = noise() % 2;
    t->is_long = noise() % 2;
    Tensor *a = tensor_over(ctx, &t->module, "a", in_a, na);
    Tensor *b = tensor_over(ctx, &t->module, "b", in_b, nb);
    Index *vector = nc ? in_c[noise() % 4 ? nc - 1 : noise() % nc] : NULL;
    if (noise() % 16 == 0) vector = NULL;
    finish_case(ctx, t, ir_read_at(ctx, a, in_a), ir_read_at(ctx, b, in_b), all, n, in_c, nc,
                vector);
    t->n = 1 + (int64_t)(noise() % MAX_BATCH);
}

/* c[batch, f, i, j] = sum over (ch, u, v) of x[batch, ch, s i + u, s j + v] * w[f, ch, u, v] */
static void convolution_case(Ctx *ctx, Case *t, int number, bool weights_first) {
    int64_t ch = 1 + (int64_t)(noise() % 4), size = 1 + (int64_t)(noise() % 5);
    int64_t height = 1 + (int64_t)(noise() % 20), width = 1 + (int64_t)(noise() % 40);
    int64_t stride = 1 + (int64_t)(noise() % 2), filters = 1 + (int64_t)(noise() % 20);
    Index *batch = new_index(ctx, "batch", EXTENT_BATCH), *f = new_index(ctx, "f", filters);
    Index *i = new_index(ctx, "i", height), *j = new_index(ctx, "j", width);
    Index *c = new_index(ctx, "c", ch), *u = new_index(ctx, "u", size),
          *v = new_index(ctx, "v", size);
    int64_t xdims[] = {EXTENT_BATCH, ch, stride * (height - 1) + size, stride * (width - 1) + size};
    Tensor *x = make_tensor(ctx, &t->module, "x", xdims, 4);
    Index *wi[] = {f, c, u, v}, *ci[] = {batch, f, i, j}, *all[] = {batch, f, i, j, c, u, v};
    Tensor *w = tensor_over(ctx, &t->module, "w", wi, 4);
    const Expr *si = ir_int_scale(ctx, ir_index_value(ctx, i), stride);
    const Expr *sj = ir_int_scale(ctx, ir_index_value(ctx, j), stride);
    const Expr *subs[] = {ir_index_value(ctx, batch), ir_index_value(ctx, c),
                          ir_int_add(ctx, si, ir_index_value(ctx, u)),
                          ir_int_add(ctx, sj, ir_index_value(ctx, v))};
    const Expr *xr = ir_read(ctx, x, subs, NULL), *wr = ir_read_at(ctx, w, wi);
    t->name = arena_printf(ctx->arena, "convolution%d", number);
    choose_numbers(t);
    t->has_bias = noise() % 2;
    t->is_long = noise() % 2;
    t->n = 1 + (int64_t)(noise() % 3);
    finish_case(ctx, t, weights_first ? wr : xr, weights_first ? xr : wr, all, 7, ci, 4, j);
}

/* ---- plain loops
 * ---------------------------------------------------------------------------------- */

typedef struct Walk {
    Index *indices[MAX_INDICES];
    int64_t values[MAX_INDICES];
    uint32_t n;
} Walk;

static int64_t affine_value(const Walk *walk, const Expr *e) {
    int64_t value = e->affine.offset;
    for (uint32_t i = 0; i < e->affine.nterms; i++)
        for (uint32_t j = 0; j < walk->n; j++)
            if (walk->indices[j] == e->affine.terms[i].atom->index)
                value += e->affine.terms[i].coefficient * walk->values[j];
    return value;
}

static int64_t position(const Walk *walk, const Expr *read) {
    int64_t at = 0;
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        int64_t dim = read->read.tensor->dims[d];
        at = at * (dim == EXTENT_BATCH ? 1 : dim) + affine_value(walk, read->read.subs[d]);
    }
    return at;
}

static double element(const Case *t, uint32_t which, int64_t at) {
    if (which < 2 && t->rounded[which]) {
        uint32_t bits = (uint32_t)((uint16_t *)t->memory[which])[at] << 16;
        float value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    return t->f64 ? ((double *)t->memory[which])[at] : (double)((float *)t->memory[which])[at];
}

/* The next point of the indices first .. last - 1; false when they are all at 0 again. */
static bool advance(Walk *walk, uint32_t first, uint32_t last, int64_t n) {
    for (uint32_t i = last; i-- > first;) {
        int64_t extent = walk->indices[i]->extent == EXTENT_BATCH ? n : walk->indices[i]->extent;
        if (++walk->values[i] < extent) return true;
        walk->values[i] = 0;
    }
    return false;
}

static double plain_sum(const Case *t, Walk *walk) {
    const Kernel *k = &t->kernel;
    double sum = 0;
    do sum += element(t, 0, position(walk, k->roles.a)) * element(t, 1, position(walk, k->roles.b));
    while (advance(walk, k->nfree, walk->n, t->n));
    return sum;
}

static void check_case(Ctx *ctx, const Case *t) {
    const Kernel *k = &t->kernel;
    Walk walk = {.n = k->nfree + k->nover};
    memcpy(walk.indices, k->free, k->nfree * sizeof *k->free);
    memcpy(walk.indices + k->nfree, k->over, k->nover * sizeof *k->over);
    const Expr *target = ir_read_at(ctx, t->c, k->free);
    uint32_t failures = 0;
    int64_t elements = 1;
    for (uint32_t i = 0; i < k->nfree; i++)
        elements *= k->free[i]->extent == EXTENT_BATCH ? t->n : k->free[i]->extent;
    for (int64_t e = 0; e < elements; e++) {
        double sum = plain_sum(t, &walk), c = sum, d = 0;
        int64_t at = position(&walk, target);
        if (t->has_bias) {
            c = fmax(sum + element(t, 2, position(&walk, t->bias_read)), 0);
            d = sum + 2 * c;
        }
        bool good = element(t, 3, at) == c && (!t->has_bias || element(t, 4, at) == d);
        if (!good && failures++ == 0)
            printf("%s (f64 %d, bf16 %d): element %lld is %g, expected %g\n", t->name, t->f64,
                   t->bf16, (long long)at, element(t, 3, at), c);
        advance(&walk, 0, k->nfree, t->n);
    }
    EXPECT_INT(failures, 0);
}

/* ---- running
 * --------------------------------------------------------------------------------------- */

static void *numbers(const Case *t, const Tensor *tensor, bool zero, bool rounded) {
    int64_t n = tensor_elements(tensor, t->max_batch);
    void *memory = aligned_alloc(64, ((size_t)n * 8 + 127) / 64 * 64);
    for (int64_t i = 0; i < n; i++) {
        double value = zero ? -12345 : (double)((int64_t)(noise() % 17) - 8) / 8;
        float single = (float)value;
        uint32_t bits;
        memcpy(&bits, &single, sizeof bits);
        if (t->f64)
            ((double *)memory)[i] = value;
        else if (rounded)
            ((uint16_t *)memory)[i] = (uint16_t)(bits >> 16);
        else
            ((float *)memory)[i] = single;
    }
    return memory;
}

static void fill_case(Case *t) {
    const Tensor *tensors[] = {t->a, t->b, t->bias, t->c, t->d};
    for (uint32_t i = 0; i < 5; i++)
        t->memory[i] = numbers(t, tensors[i], i >= 3, i < 2 && t->rounded[i]);
    t->arena = aligned_alloc(64, ((size_t)t->function.arena_bytes + 127) / 64 * 64);
}

static void empty_case(Case *t) {
    for (uint32_t i = 0; i < 5; i++) free(t->memory[i]);
    free(t->arena);
}

static DlrtCall call_of(Case *t) {
    return (DlrtCall){.inputs = (const void *const *)t->memory,
                      .results = t->memory + 3,
                      .n = t->n,
                      .step = 1,
                      .arena = t->arena};
}

static DlrtFunction *found(Ctx *ctx, Jit *jit, const Case *t) {
    void *address = target_jit_find(ctx, jit, codegen_symbol(ctx, "test", t->name));
    DlrtFunction *function;
    memcpy(&function, &address, sizeof function);
    return function;
}

static Jit *compile(Ctx *ctx, Case *cases, uint32_t n, const Machine *machine) {
    Function **functions = ARENA_ARRAY(ctx->arena, Function *, n);
    for (uint32_t i = 0; i < n; i++) functions[i] = &cases[i].function;
    LLVMContextRef llvm = LLVMContextCreate();
    LLVMModuleRef module = codegen_module(ctx, llvm, "test", functions, n, machine);
    target_optimize(ctx, module, machine);
    return target_jit(ctx, module, llvm, machine);
}

static void run_cases(Ctx *ctx, Case *cases, uint32_t n, const Machine *machine) {
    Jit *jit = compile(ctx, cases, n, machine);
    for (uint32_t i = 0; i < n; i++) {
        fill_case(&cases[i]);
        DlrtCall call = call_of(&cases[i]);
        found(ctx, jit, &cases[i])(&call);
        check_case(ctx, &cases[i]);
        empty_case(&cases[i]);
    }
    target_jit_free(jit);
}

/* Narrower vectors of the same machine, with and without masks; large and small caches. */
static void test_random(const Machine *machine, int64_t vector_bytes, uint32_t rounds) {
    enum { CASES = 24 };
    for (uint32_t round = 0; round < rounds; round++) {
        Ctx ctx;
        ctx_init(&ctx);
        ctx.verify = true;
        Machine narrow = *machine;
        narrow.vector_bytes = vector_bytes;
        narrow.vector_registers = vector_bytes == 64 ? 32 : 16;
        narrow.has_fma = machine->has_fma && vector_bytes > 16;
        narrow.has_bf16 = machine->has_bf16 && vector_bytes == 64;
        if (round % 2) narrow.l2_bytes = 4096; /* sums are cut into blocks */
        Case *cases = calloc(CASES, sizeof *cases);
        for (int i = 0; i < CASES; i++) {
            cases[i].machine = &narrow;
            if (i % 6 == 5)
                convolution_case(&ctx, &cases[i], i, noise() % 2);
            else
                random_case(&ctx, &cases[i], i);
        }
        run_cases(&ctx, cases, CASES, &narrow);
        free(cases);
        ctx_free(&ctx);
    }
}

/* ---- speed
 * ------------------------------------------------------------------------------------------- */

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Compiles the case, runs it for a while on n examples and prints the best speed. */
static void measure(Ctx *ctx, Case *t, const Machine *machine, int64_t n, const char *what) {
    double begin = seconds(), best = 1e9, flops = 2;
    t->n = n;
    Jit *jit = compile(ctx, t, 1, machine);
    DlrtFunction *function = found(ctx, jit, t);
    double compiled = seconds() - begin;
    const Kernel *k = &t->kernel;
    for (uint32_t i = 0; i < k->nfree + k->nover; i++) {
        const Index *index = i < k->nfree ? k->free[i] : k->over[i - k->nfree];
        flops *= (double)(index->extent == EXTENT_BATCH ? n : index->extent);
    }
    fill_case(t);
    DlrtCall call = call_of(t);
    int repeat = 1 + (int)(2e7 / flops);
    for (int round = 0; round < 30; round++) {
        begin = seconds();
        for (int i = 0; i < repeat; i++) function(&call);
        double taken = (seconds() - begin) / repeat;
        if (taken < best) best = taken;
    }
    printf("%s %-40s %7.1f GFLOP/s  (compiled in %.0f ms)\n", t->f64 ? "f64" : "f32", what,
           flops / best * 1e-9, compiled * 1e3);
    fflush(stdout);
    empty_case(t);
    target_jit_free(jit);
}

/* c[m, n] = sum a * b. Letters say how a and b lie: "nn" a[m, k] b[k, n], "nt" b[n, k], "tn" a[k,
 * m]; `m` or `k` EXTENT_BATCH: the number of examples, `batch`. */
static void measure_product(const Machine *machine, const char *lay, int64_t m, int64_t n,
                            int64_t k, bool f64, int64_t batch) {
    Ctx ctx;
    ctx_init(&ctx);
    Case t = {.name = "speed", .machine = machine, .f64 = f64, .max_batch = batch};
    Index *mi = new_index(&ctx, "m", m), *ni = new_index(&ctx, "n", n);
    Index *ki = new_index(&ctx, "k", k);
    Index *in_a[] = {lay[0] == 'n' ? mi : ki, lay[0] == 'n' ? ki : mi};
    Index *in_b[] = {lay[1] == 'n' ? ki : ni, lay[1] == 'n' ? ni : ki};
    Index *all[] = {mi, ni, ki}, *in_c[] = {mi, ni};
    Tensor *a = tensor_over(&ctx, &t.module, "a", in_a, 2);
    Tensor *b = tensor_over(&ctx, &t.module, "b", in_b, 2);
    finish_case(&ctx, &t, ir_read_at(&ctx, a, in_a), ir_read_at(&ctx, b, in_b), all, 3, in_c, 2,
                ni);
    const char *what = arena_printf(ctx.arena, "%s %lld x %lld x %lld, batch %lld", lay,
                                    (long long)m, (long long)n, (long long)k, (long long)batch);
    measure(&ctx, &t, machine, batch, what);
    ctx_free(&ctx);
}

/* The second convolution of a LeNet and its weights' gradient. */
static void measure_convolutions(const Machine *machine) {
    Ctx ctx;
    ctx_init(&ctx);
    int64_t xdims[] = {EXTENT_BATCH, 32, 18, 18};
    Index *batch = new_index(&ctx, "batch", EXTENT_BATCH), *f = new_index(&ctx, "f", 64);
    Index *i = new_index(&ctx, "i", 14), *j = new_index(&ctx, "j", 14),
          *c = new_index(&ctx, "c", 32);
    Index *u = new_index(&ctx, "u", 5), *v = new_index(&ctx, "v", 5);
    Index *wi[] = {f, c, u, v}, *yi[] = {batch, f, i, j}, *all[] = {batch, f, i, j, c, u, v};
    Index *back[] = {f, c, u, v, batch, i, j};
    Case y = {.name = "forward", .machine = machine, .max_batch = 64};
    Case g = {.name = "gradient", .machine = machine, .max_batch = 64};
    Tensor *x = make_tensor(&ctx, &y.module, "x", xdims, 4);
    Tensor *w = tensor_over(&ctx, &y.module, "w", wi, 4),
           *gy = tensor_over(&ctx, &g.module, "g", yi, 4);
    const Expr *subs[] = {ir_index_value(&ctx, batch), ir_index_value(&ctx, c),
                          ir_int_add(&ctx, ir_index_value(&ctx, i), ir_index_value(&ctx, u)),
                          ir_int_add(&ctx, ir_index_value(&ctx, j), ir_index_value(&ctx, v))};
    const Expr *xr = ir_read(&ctx, x, subs, NULL);
    finish_case(&ctx, &y, ir_read_at(&ctx, w, wi), xr, all, 7, yi, 4, j);
    finish_case(&ctx, &g, ir_read_at(&ctx, gy, yi), xr, back, 7, wi, 4, v);
    measure(&ctx, &y, machine, 64, "convolution 5 x 5, 32 -> 64, 14 x 14");
    measure(&ctx, &g, machine, 64, "its weights' gradient");
    ctx_free(&ctx);
}

static void measure_all(const Machine *machine) {
    static const int64_t shapes[][3] = {{64, 512, 784}, {64, 512, 512},  {64, 10, 512},
                                        {256, 256, 64}, {512, 512, 512}, {1024, 1024, 1024}};
    for (uint32_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int64_t m = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
        measure_product(machine, "nt", m, n, k, false, 1); /* y = x w^T */
        measure_product(machine, "nn", m, k, n, false, 1); /* x's gradient = g w */
        measure_product(machine, "tn", n, k, m, false, 1); /* w's gradient = g^T x */
    }
    static const int64_t batches[] = {1, 7, 64};
    for (uint32_t i = 0; i < 3; i++) {
        measure_product(machine, "nt", EXTENT_BATCH, 512, 784, false, batches[i]);
        measure_product(machine, "nn", EXTENT_BATCH, 784, 512, false, batches[i]);
        measure_product(machine, "tn", 512, 784, EXTENT_BATCH, false, batches[i]);
    }
    measure_product(machine, "nt", 64, 512, 784, true, 1);
    measure_product(machine, "nn", 64, 784, 512, true, 1);
    measure_convolutions(machine);
}

int main(int argc, char **argv) {
    Ctx ctx;
    ctx_init(&ctx);
    const Machine *machine = target_machine(&ctx, NULL, NULL);
    if (argc > 1 && strcmp(argv[1], "--speed") == 0) {
        measure_all(machine);
    } else {
        for (int64_t bytes = machine->vector_bytes; bytes >= 16; bytes /= 2)
            test_random(machine, bytes, bytes == machine->vector_bytes ? 10 : 4);
    }
    ctx_free(&ctx);
    TEST_END();
}
