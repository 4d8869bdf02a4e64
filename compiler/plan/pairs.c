/* plan/pairs.c: contractions that multiply pairs of bf16.
 *
 * in:   a contraction whose vector is chosen      out: the summed index along which elements are
 * taken in pairs, now the last of them; how the sum is cut; room for what is packed
 *
 * A pair is 32 bits: two elements of an operand that follow each other along one summed index. Of b
 * a panel is packed, pairs of neighbouring columns side by side. Of a, pairs are read where it lies
 * if it lies in memory as bf16, adjacent along that index, and else from a copy.
 */
#include "plan/private.h"

enum {
    LEAST_ROWS = 4, /* that share what is packed */
    UNIT_BYTES = 4, /* of a pair */
};

/* Cycles for each element, measured; a multiply-add of a vector takes half a cycle, that of a
 * vector of pairs as well. */
static const double copy_adjacent = 0.08, copy_apart = 0.15;                        /* of a */
static const double pack_columns = 0.1, pack_transposed = 0.2, pack_gathered = 1.5; /* of b */
static const double transpose_reals = 0.4;

typedef struct Choice {
    uint32_t number; /* of the summed index */
    double cycles;
    int64_t copied; /* bytes for each element of a; 0: it is read in place */
} Choice;

typedef struct Pairing {
    const Function *f;
    const Kernel *k;
    Roles roles;
    int64_t lanes, l2_bytes;
    int64_t times; /* that a panel of b serves for: more than one in a recurrence that keeps it */
} Pairing;

static double points(const Pairing *p, Index *const *indices, uint32_t n) {
    return (double)plan_turns_of_all(p->f, indices, n);
}

static double multiplications(const Pairing *p) {
    return points(p, p->k->free, p->k->nfree) * points(p, p->roles.k, p->roles.nk);
}

/* Elements of b that are packed, each once for all rows. */
static double packed(const Pairing *p) {
    return multiplications(p) / points(p, p->roles.m, p->roles.nm) / (double)p->times;
}

static Choice weighed(const Pairing *p, uint32_t number) {
    const Roles *r = &p->roles;
    Index *index = r->k[number];
    int64_t turns = plan_turns_of(p->f, index);
    int64_t a = plan_stride_along(p->f, r->a, index), b = plan_stride_along(p->f, r->b, index);
    int64_t column = plan_stride_along(p->f, r->b, p->k->vector);
    bool in_place = a == 1 && plan_is_rounded(p->f, r->a->read.tensor);
    Choice choice = {.number = number, .copied = in_place ? 0 : a == 1 ? 2 : UNIT_BYTES};
    double padded = (double)(turns + turns % 2) / (double)turns;
    choice.cycles = multiplications(p) * padded / (4.0 * (double)p->lanes);
    if (choice.copied)
        choice.cycles += (double)plan_footprint(p->f, r->a, NULL) *
                         (choice.copied == 2 ? copy_adjacent : copy_apart);
    choice.cycles += packed(p) * (column == 1 ? pack_columns
                                  : b == 1    ? pack_transposed
                                              : pack_gathered);
    return choice;
}

static double cycles_in_f32(const Pairing *p) {
    double cycles = multiplications(p) / (2.0 * (double)p->lanes);
    bool adjacent = plan_stride_along(p->f, p->roles.b, p->k->vector) == 1;
    return adjacent ? cycles : cycles + packed(p) * transpose_reals;
}

/* The summed index with the least cost; false where numbers of single precision are as fast. */
static bool choose(const Pairing *p, bool always, Choice *best) {
    const Roles *r = &p->roles;
    best->number = r->nk;
    for (uint32_t i = r->nk; i-- > 0;) {
        if (plan_turns_of(p->f, r->k[i]) < 2) continue;
        if (plan_stride_along(p->f, r->a, r->k[i]) <= 0) continue;
        Choice choice = weighed(p, i);
        if (best->number == r->nk || choice.cycles < best->cycles) *best = choice;
    }
    if (best->number == r->nk) return false;
    return always || best->cycles < 0.9 * cycles_in_f32(p);
}

/* ---- the sum in blocks ----------------------------------------------------------------------- */

/* Of the panel of so many vectors of columns, for that many turns of the outermost summed index. */
static int64_t panel_bytes(const Pairing *p, int64_t turns, int64_t vectors) {
    const Roles *r = &p->roles;
    if (r->nk == 1) return (turns + 1) / 2 * vectors * p->lanes * UNIT_BYTES;
    int64_t pairs = (plan_turns_of(p->f, r->k[r->nk - 1]) + 1) / 2;
    int64_t others = plan_turns_of_all(p->f, r->k + 1, r->nk - 2);
    return turns * others * pairs * vectors * p->lanes * UNIT_BYTES;
}

/* What is touched of a, with a third more than that for what lies between: see contract_pairs.c. */
static int64_t copy_bytes(const Pairing *p, int64_t turns, int64_t unit) {
    const Expr *a = p->roles.a;
    int64_t all = plan_footprint(p->f, a, NULL);
    int64_t some = turns * plan_footprint(p->f, a, p->roles.k[0]);
    return (some < all ? some : all) * unit * 4 / 3 + 2 * PLAN_ALIGNMENT;
}

static bool may_be_cut(const Pairing *p, int64_t partial) {
    return !plan_batch_among(p->k->free, p->k->nfree) && partial <= 4 * p->l2_bytes;
}

static int64_t turns_that_fit(const Pairing *p, int64_t unit, int64_t vectors) {
    int64_t all = plan_turns_of(p->f, p->roles.k[0]), turns = all;
    int64_t inner = plan_turns_of_all(p->f, p->roles.k + 1, p->roles.nk - 1);
    int64_t least = plan_shortest_block(inner);
    while (turns > least && turns > 1 &&
           panel_bytes(p, turns, vectors) + copy_bytes(p, turns, unit ? unit : 2) > p->l2_bytes / 2)
        turns = (turns + 1) / 2;
    return p->roles.nk == 1 ? turns + turns % 2 : turns;
}

static bool cut(const Pairing *p, const Choice *choice, Blocking *b) {
    int64_t all = plan_turns_of(p->f, p->roles.k[0]), turns = all;
    int64_t vectors = (plan_turns_of(p->f, p->k->vector) + p->lanes - 1) / p->lanes;
    int64_t partial = plan_partial_bytes(p->f, p->k, p->lanes, UNIT_BYTES);
    if (vectors > 4) vectors = 4;
    if (p->times == 1 && may_be_cut(p, partial)) turns = turns_that_fit(p, choice->copied, vectors);
    if (turns < all) b->turns = turns;
    if (turns > all) turns = all;
    while (vectors > 1 && panel_bytes(p, turns, vectors) > p->l2_bytes / 4) vectors--;
    b->panel_bytes = plan_aligned(panel_bytes(p, turns, vectors));
    if (b->panel_bytes > p->l2_bytes && p->times == 1) return false;
    if (choice->copied) b->copy_bytes = plan_aligned(copy_bytes(p, turns, choice->copied));
    b->workspace_bytes = b->panel_bytes + (b->turns ? plan_aligned(partial) : 0) + b->copy_bytes;
    return true;
}

/* Makes the summed index the last one. */
static void move_last(Ctx *ctx, Kernel *k, uint32_t number) {
    Index **over = ARENA_ARRAY(ctx->arena, Index *, k->nover + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->nover; i++)
        if (i != number) over[n++] = k->over[i];
    over[n] = k->over[number];
    k->over = k->roles.k = over;
}

bool plan_pairs(Ctx *ctx, const Function *f, Kernel *k, int64_t times, const PlanOptions *options) {
    const int64_t lanes = options->vector_bytes / UNIT_BYTES;
    Pairing p = {f, k, plan_oriented(k), lanes, options->l2_bytes, times};
    const Roles *r = &p.roles;
    if (!options->bf16 || !options->pairs || !k->vector || r->nk == 0) return false;
    if (!plan_contains(r->n, r->nn, k->vector) || plan_turns_of(f, k->vector) < 3) return false;
    if (r->a->read.tensor->rank > PLAN_MOST_DIMS || r->b->read.tensor->rank > PLAN_MOST_DIMS)
        return false;
    if (!plan_is_plain(r->a) || !plan_is_plain(r->b)) return false;
    if (plan_turns_of_all(f, r->m, r->nm) * times < LEAST_ROWS && !options->pairs_all) return false;
    Choice choice = {0};
    if (!choose(&p, options->pairs_all, &choice)) return false;
    Index **before = k->over;
    move_last(ctx, k, choice.number);
    p.roles = plan_oriented(k);
    Blocking b = {.pair = k->over[k->nover - 1]};
    if (cut(&p, &choice, &b)) {
        k->blocking = b;
        return true;
    }
    k->over = k->roles.k = before;
    return false;
}
