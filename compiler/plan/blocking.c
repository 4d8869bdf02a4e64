/* plan/blocking.c: how contractions use the caches.
 *
 * in:   a contraction      out: what is copied of its operands at a time, and how much of the sum
 * and of the rows is done at a time
 *
 * The sizes follow Low, Igual, Smith, Quintana-Ortí, "Analytical modeling is enough for
 * high-performance BLIS" (ACM TOMS 43, 2016): what is copied of a and b fills half of a cache.
 * Where all that is summed does not fit the second-level cache, and each element of the operands is
 * needed for many tiles, the outermost summed index is cut into blocks: what is summed up so far
 * lies in memory between them.
 *
 * An operand is read where it lies, unless its columns are not adjacent, or it is read in leaps of
 * pages. Reading straight from the caches is faster than copying first.
 */
#include "plan/private.h"

#include <stdlib.h>

enum {
    BATCH_GUESS = 64, /* examples, where the number is not known */
    ENOUGH_ROWS = 96, /* to copy for them what could be read where it lies */
    MANY_ROWS = 384,  /* to copy for them what is read from the second-level cache else */
    ENOUGH_TILES = 3, /* of columns to copy a for them */
    MOST_ROWS = 12,   /* of a tile */
    TILE_ROWS = 8,    /* of most */
    PAGE = 4096,      /* bytes */
    MANY_PAGES = 192,
};

Roles plan_oriented(const Kernel *k) {
    Roles r = k->roles;
    bool swap = false;
    for (uint32_t i = 0; i < r.nm; i++) swap |= r.m[i] == k->vector;
    if (!swap) return r;
    return (Roles){.batch = r.batch,
                   .m = r.n,
                   .n = r.m,
                   .k = r.k,
                   .nbatch = r.nbatch,
                   .nm = r.nn,
                   .nn = r.nm,
                   .nk = r.nk,
                   .a = r.b,
                   .b = r.a};
}

/* ---- sizes -------------------------------------------------------------------------------------
 */

int64_t plan_turns_of(const Function *f, const Index *index) {
    if (index->extent != EXTENT_BATCH) return index->extent;
    return f->module && f->module->max_batch > 0 ? f->module->max_batch : BATCH_GUESS;
}

int64_t plan_turns_of_all(const Function *f, Index *const *indices, uint32_t n) {
    int64_t turns = 1;
    for (uint32_t i = 0; i < n; i++) turns *= plan_turns_of(f, indices[i]);
    return turns;
}

int64_t plan_footprint(const Function *f, const Expr *read, const Index *fixed) {
    int64_t elements = 1;
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        const Expr *sub = read->read.subs[d];
        int64_t reach = 1, extent = read->read.tensor->dims[d];
        for (uint32_t t = 0; t < sub->affine.nterms; t++) {
            const Term *term = &sub->affine.terms[t];
            if (term->atom->kind != EX_INDEX || term->atom->index == fixed) continue;
            int64_t step = term->coefficient < 0 ? -term->coefficient : term->coefficient;
            reach += step * (plan_turns_of(f, term->atom->index) - 1);
        }
        elements *= extent != EXTENT_BATCH && extent < reach ? extent : reach;
    }
    return elements;
}

/* ---- one contraction ----------------------------------------------------------------------------
 */

int64_t plan_stride_along(const Function *f, const Expr *read, const Index *index) {
    int64_t strides[PLAN_MOST_DIMS], stride = 0;
    plan_strides(f, read->read.tensor, strides);
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        const Expr *sub = read->read.subs[d];
        for (uint32_t t = 0; t < sub->affine.nterms; t++)
            if (sub->affine.terms[t].atom->kind == EX_INDEX &&
                sub->affine.terms[t].atom->index == index)
                stride += sub->affine.terms[t].coefficient * strides[d];
    }
    return stride;
}

typedef struct Shape {
    const Function *f;
    const Kernel *k;
    Roles roles;
    int64_t real_bytes, lanes, l1_bytes, l2_bytes;
    int64_t m, n, sum; /* turns of all indices of a role */
    bool is_plain;     /* a matrix product: each index is a subscript of its own */
    bool all;          /* whatever can be done in blocks is, however small */
} Shape;

int64_t plan_block_of(const Kernel *k, const Index *index) {
    const Kernel *nest = k->around;
    if (!nest || !nest->block || nest->free[nest->nfree - 1] != index) return 0;
    return nest->block;
}

/* In what the kernel does at once. */
static int64_t turns_at_once(const Function *f, const Kernel *k, Index *const *indices,
                             uint32_t n) {
    int64_t turns = 1;
    for (uint32_t i = 0; i < n; i++) {
        int64_t block = plan_block_of(k, indices[i]);
        turns *= block ? block : plan_turns_of(f, indices[i]);
    }
    return turns;
}

/* Of a summed index, in one part of the kernel. */
static int64_t sum_turns(const Function *f, const Kernel *k, const Index *index) {
    if (k->part && index->extent == EXTENT_BATCH) return k->part;
    int64_t block = plan_block_of(k, index);
    if (block) return block;
    return k->split.number && k->split.index == index ? k->split.unit : plan_turns_of(f, index);
}

static int64_t sum_turns_of_all(const Function *f, const Kernel *k, Index *const *indices,
                                uint32_t n) {
    int64_t turns = 1;
    for (uint32_t i = 0; i < n; i++) turns *= sum_turns(f, k, indices[i]);
    return turns;
}

/* The least distance along one of the indices. */
static int64_t least_stride(const Shape *s, const Expr *read, Index *const *indices, uint32_t n) {
    int64_t least = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (indices[i]->extent == 1) continue;
        int64_t stride = llabs(plan_stride_along(s->f, read, indices[i]));
        if (least == 0 || stride < least) least = stride;
    }
    return least;
}

static bool is_plain(const Expr *read) {
    if (read->read.tensor->rank > PLAN_MOST_DIMS) return false;
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        const Expr *sub = read->read.subs[d];
        if (sub->affine.nterms > 1) return false;
        if (sub->affine.nterms == 1 && sub->affine.terms[0].atom->kind != EX_INDEX) return false;
    }
    return true;
}

/* Does every step of the sum read another page, and are there many? No prefetcher follows, and
 * lines a page apart meet in few sets of the caches. */
static bool leaps(const Shape *s, const Expr *read, int64_t sum) {
    int64_t along = least_stride(s, read, s->roles.k, s->roles.nk);
    return s->is_plain && (s->all || (along * s->real_bytes >= PAGE && sum >= MANY_PAGES));
}

static int64_t enough_rows(const Shape *s) {
    return s->all ? 2 : ENOUGH_ROWS;
}

/* Do steps of the sum meet in so few sets of the second-level cache that they fill half of these,
 * and are there very many rows? The cache has a set for each line of a part of it; what is a
 * multiple of 2^n apart is in one of 2^n sets. */
static bool meets(const Shape *s, const Expr *read, int64_t sum) {
    int64_t along = least_stride(s, read, s->roles.k, s->roles.nk) * s->real_bytes;
    return s->is_plain && s->m >= MANY_ROWS && sum * (along & -along) >= s->l2_bytes / 2;
}

/* ---- the panel of b ----------------------------------------------------------------------------
 */

/* Codegen copies b, all of a block of the sum at once, for as many columns as the panel has room
 * for. */
static int64_t panel_bytes(const Shape *s, int64_t sum) {
    const Kernel *k = s->k;
    const Roles *r = &s->roles;
    if (!k->vector || !r->b || !r->nn || s->m < 2) return 0;
    if (plan_contains(r->k, r->nk, k->vector) || r->b->read.tensor->rank > PLAN_MOST_DIMS) return 0;
    int64_t stride = plan_stride_along(s->f, r->b, k->vector);
    if (stride == 0) return 0;
    int64_t vector_bytes = s->lanes * s->real_bytes;
    int64_t vectors = (s->n + s->lanes - 1) / s->lanes, most = PLAN_MOST_VECTORS;
    if (stride == 1) {
        bool pays = leaps(s, r->b, sum) ? s->m >= enough_rows(s) : meets(s, r->b, sum);
        if (!pays) return 0;
        most = PLAN_TILE_VECTORS;
    }
    if (vectors > most) vectors = most;
    while (vectors > 1 && sum * vectors * vector_bytes > s->l2_bytes / 2) vectors--;
    int64_t bytes = (sum + s->lanes) * vectors * vector_bytes;
    return bytes <= 4 * s->l2_bytes ? bytes : 0;
}

/* ---- the panels of a ----------------------------------------------------------------------------
 */

/* Nothing but rows and columns is free, and there are so many rows. */
static bool has_rows(const Shape *s, int64_t least) {
    const Roles *r = &s->roles;
    if (!s->is_plain || !r->nm || !r->nn || s->m < least) return false;
    if (plan_turns_of_all(s->f, r->batch, r->nbatch) > 1) return false;
    return s->k->vector && plan_contains(r->n, r->nn, s->k->vector);
}

static bool has_many_rows(const Shape *s) {
    return has_rows(s, enough_rows(s));
}

/* Is a copied? It pays if there are columns enough. */
static bool copies_rows(const Shape *s) {
    bool has_columns = s->all || s->n >= ENOUGH_TILES * PLAN_TILE_VECTORS * s->lanes;
    return has_columns && has_many_rows(s) && leaps(s, s->roles.a, s->sum);
}

/* A block of rows stays in the last caches while all columns go by, in the second-level cache if it
 * is copied. */
static void block_rows(const Shape *s, int64_t sum, Blocking *b) {
    if (!has_many_rows(s)) return;
    bool copies = copies_rows(s);
    int64_t most = (copies ? s->l2_bytes / 2 : 4 * s->l2_bytes) / (sum * s->real_bytes);
    if (s->all) most = s->m / 2 + 1;
    if (most < enough_rows(s) || (s->m <= most && !copies)) return;
    b->rows = s->m < most ? s->m : most;
    if (!copies) return;
    int64_t line = PLAN_ALIGNMENT / s->real_bytes;
    b->rows_bytes = plan_aligned((b->rows + MOST_ROWS) * (sum + line) * s->real_bytes);
}

/* All of b stays in the nearest cache, which has no room for the results: a tile's rows do all
 * columns before the next, so that results are written from one end to the other. Their lines would
 * else take the place of b's. */
static bool writes_along_rows(const Shape *s, const Blocking *b) {
    int64_t read = s->n * s->sum * s->real_bytes, written = s->m * s->n * s->real_bytes;
    return !b->panel_bytes && !b->turns && has_rows(s, 2 * TILE_ROWS) &&
           s->n > PLAN_TILE_VECTORS * s->lanes && read <= s->l1_bytes / 2 && written > s->l1_bytes;
}

/* ---- the sum in blocks --------------------------------------------------------------------------
 */

int64_t plan_shortest_block(int64_t inner) {
    return (PLAN_SHORTEST_SUM + inner - 1) / inner;
}

/* The results as tiles of whole vectors. */
int64_t plan_partial_bytes(const Function *f, const Kernel *k, int64_t lanes, int64_t real_bytes) {
    int64_t elements = 1;
    for (uint32_t i = 0; i < k->nfree; i++) {
        int64_t turns = plan_turns_of(f, k->free[i]);
        if (k->free[i] == k->vector) turns = (turns + lanes - 1) / lanes * lanes;
        elements *= turns;
    }
    return elements * real_bytes;
}

/* Of a matrix product: an eighth of the second-level cache for the panel of b, as much as the
 * first-level cache has room for if a is copied; if a should be and is not, as few steps as its
 * lines have room in the sets in which they meet. */
static int64_t turns_by_panel(const Shape *s) {
    const Roles *r = &s->roles;
    int64_t inner = sum_turns_of_all(s->f, s->k, r->k + 1, r->nk - 1);
    int64_t turns = sum_turns(s->f, s->k, r->k[0]);
    int64_t room = copies_rows(s) ? s->l1_bytes * 2 / 3 : s->l2_bytes / 8;
    int64_t sum = room / (PLAN_TILE_VECTORS * s->lanes * s->real_bytes);
    if (leaps(s, r->a, s->sum) && !copies_rows(s)) sum = PLAN_SHORTEST_SUM;
    if (s->all) sum = s->sum / 2 + 1;
    int64_t block = sum / inner > 1 ? sum / inner : 1, blocks = (turns + block / 2) / block;
    return blocks > 1 ? (turns + blocks - 1) / blocks : 0;
}

static int64_t block_turns(const Shape *s, int64_t partial) {
    const Roles *r = &s->roles;
    if (!s->k->vector || !r->a || !r->b || r->nk == 0) return 0;
    if (s->m < 2) return 0; /* no element of b is needed twice */
    if (partial > (copies_rows(s) ? 16 : 4) * s->l2_bytes) return 0;
    if (plan_contains(r->k, r->nk, s->k->vector)) return 0;
    int64_t all =
        (plan_footprint(s->f, r->a, NULL) + plan_footprint(s->f, r->b, NULL)) * s->real_bytes;
    if (all <= s->l2_bytes / 2 && !s->all) return 0;
    if (s->is_plain) return turns_by_panel(s);
    if (plan_batch_among(s->k->free, s->k->nfree)) return 0;
    const Index *outer = r->k[0];
    int64_t once =
        (plan_footprint(s->f, r->a, outer) + plan_footprint(s->f, r->b, outer)) * s->real_bytes;
    int64_t least = plan_shortest_block(plan_turns_of_all(s->f, r->k + 1, r->nk - 1));
    int64_t block = s->l2_bytes / 8 / once, turns = plan_turns_of(s->f, outer);
    if (block < least) block = least;
    return block < turns ? block : 0;
}

Blocking plan_blocking(const Function *f, const Kernel *k, const PlanOptions *options) {
    const Roles roles = plan_oriented(k);
    int64_t real_bytes = options->f64 ? 8 : 4;
    Shape s = {.f = f,
               .k = k,
               .roles = roles,
               .real_bytes = real_bytes,
               .lanes = options->vector_bytes / real_bytes,
               .l1_bytes = options->l1_bytes,
               .l2_bytes = options->l2_bytes,
               .m = turns_at_once(f, k, roles.m, roles.nm),
               .n = turns_at_once(f, k, roles.n, roles.nn),
               .sum = sum_turns_of_all(f, k, roles.k, roles.nk)};
    s.all = options->blocks_all;
    s.is_plain = roles.a && roles.b && is_plain(roles.a) && is_plain(roles.b);
    int64_t partial = plan_partial_bytes(f, k, s.lanes, real_bytes);
    bool is_block = k->around && k->around->block; /* of rows: it is one itself */
    Blocking b = {.turns = is_block ? 0 : block_turns(&s, partial)};
    if (k->part && !b.turns) b.turns = k->part;
    int64_t sum = b.turns ? s.sum / sum_turns(f, k, roles.k[0]) * b.turns : s.sum;
    b.panel_bytes = panel_bytes(&s, sum);
    if (!is_block && writes_along_rows(&s, &b))
        b.rows = TILE_ROWS;
    else if (!is_block)
        block_rows(&s, sum, &b);
    b.workspace_bytes = b.panel_bytes + b.rows_bytes + (b.turns ? partial : 0);
    return b;
}
