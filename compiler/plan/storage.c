/* plan/storage.c: in which order the dimensions of tensors lie in memory.
 *
 * in:   nodes      out: Function.storage, for the tensors that are not row-major
 *
 * A contraction that slides over one operand, `sum[c, u, v] x[c, i + u, j + v] * k[f, c, u, v]`,
 * has two candidates for the lanes: the last place j, or the channels, f of the result and c of x.
 * With the channels last, both gradients have them too, each tile shares every vector of weights
 * between all its places, and no vector begins in the middle of another. So they lie last, unless
 * fewer lanes would be used than by the places. Tensors that are computed from these, or they from
 * them, place by place, follow.
 *
 * Row-major stay: what others give or take, parameters and states, and what is seen in another
 * shape.
 */
#include "plan/private.h"

#include <stdlib.h>

/* What should lie last in a tensor. */
typedef struct Wish {
    uint32_t dim;
    double weight;
} Wish;

typedef struct Wishes {
    Planner *p;
    Map of;    /* Tensor* → Wish* */
    Map fixed; /* Tensor* that stay row-major */
} Wishes;

/* ---- who may be otherwise ----------------------------------------------------------------------
 */

static void find_fixed(Wishes *w) {
    Planner *p = w->p;
    for (uint32_t i = 0; i < p->alias_of.len; i++)
        map_set(p->ctx->scratch, &w->fixed, p->alias_of.entries[i].value, p);
}

static bool may_differ(const Wishes *w, const Tensor *tensor) {
    const Node *node = map_get(&w->p->node_of, tensor);
    if (!node || node->is_pinned || node->is_alias || node->scan.group) return false;
    if (map_has(&w->fixed, tensor)) return false;
    return tensor->rank > 2 && tensor->dims[0] == EXTENT_BATCH;
}

static bool add_wish(Wishes *w, const Tensor *tensor, uint32_t dim, double weight) {
    if (!may_differ(w, tensor) || dim == 0) return false;
    Wish *wish = map_get(&w->of, tensor);
    if (wish && wish->weight >= weight) return false;
    if (!wish) {
        wish = ARENA_NEW(w->p->ctx->scratch, Wish);
        map_set(w->p->ctx->scratch, &w->of, tensor, wish);
    }
    *wish = (Wish){dim, weight};
    return true;
}

/* ---- contractions that slide -------------------------------------------------------------------
 */

/* Do two turns of the larger step reach the same place by the smaller one? In 32 * h + e with
 * e < 32 they do not: these are the digits of one place. */
static bool overlap(const Term *a, const Term *b) {
    int64_t x = llabs(a->coefficient), y = llabs(b->coefficient);
    const Term *smaller = x < y ? a : b;
    int64_t extent = smaller->atom->index->extent;
    return extent == EXTENT_BATCH || (x > y ? x : y) < (x > y ? y : x) * extent;
}

static bool slides_in(const Expr *sub) {
    if (sub->affine.nterms == 1) return !plan_index_alone(sub);
    for (uint32_t i = 0; i < sub->affine.nterms; i++)
        for (uint32_t j = 0; j < i; j++)
            if (overlap(&sub->affine.terms[i], &sub->affine.terms[j])) return true;
    return false;
}

static bool slides(const Expr *read) {
    for (uint32_t d = 0; d < read->read.tensor->rank; d++)
        if (slides_in(read->read.subs[d])) return true;
    return false;
}

/* Does the index stand beside another one, or with a stride, in the read? */
static bool slides_along(const Expr *read, const Index *index) {
    for (uint32_t d = 0; d < read->read.tensor->rank; d++)
        if (!plan_index_alone(read->read.subs[d]) && ir_uses_index(read->read.subs[d], index))
            return true;
    return false;
}

/* Of the tensor's dimensions that are not slid along, the one that uses the lanes best, if it uses
 * them as well as the last one. `at` gives their indices. */
static void wish_for(Wishes *w, const Tensor *tensor, Index *const *at, const Expr *sliding,
                     double weight) {
    int64_t lanes = w->p->lanes;
    uint32_t last = tensor->rank - 1, best = last;
    double best_share = plan_share_used(tensor->dims[last], lanes);
    for (uint32_t d = last; d-- > 1;) {
        if (!at[d] || slides_along(sliding, at[d])) continue;
        if (tensor->dims[d] <= 1 || plan_share_used(tensor->dims[d], lanes) < best_share) continue;
        best = d;
        best_share = plan_share_used(tensor->dims[d], lanes);
    }
    if (best != last && tensor->dims[0] == EXTENT_BATCH) add_wish(w, tensor, best, weight);
}

static Index **indices_of(Wishes *w, const Expr *read) {
    uint32_t rank = read->read.tensor->rank;
    Index **at = ARENA_ARRAY(w->p->ctx->arena, Index *, rank + 1);
    for (uint32_t d = 0; d < rank; d++) at[d] = plan_index_alone(read->read.subs[d]);
    return at;
}

static void look_at_contraction(Wishes *w, const Node *node) {
    if (node->nfactors != 2) return;
    const Expr *a = node->factors[0], *b = node->factors[1];
    if (!plan_is_plain(a) || !plan_is_plain(b) || slides(a) == slides(b)) return;
    const Expr *sliding = slides(a) ? a : b, *other = slides(a) ? b : a;
    double weight = plan_points(w->p, node->at, node->result->rank) *
                    plan_points(w->p, node->over, node->nover);
    if (node->result->rank > 2) wish_for(w, node->result, node->at, sliding, weight);
    if (sliding->read.tensor->rank > 2)
        wish_for(w, sliding->read.tensor, indices_of(w, sliding), sliding, weight);
    if (other->read.tensor->rank > 2)
        wish_for(w, other->read.tensor, indices_of(w, other), sliding, weight);
}

/* ---- those computed from one another ------------------------------------------------------------
 */

static uint32_t dim_of(Index *const *at, uint32_t rank, const Index *index) {
    for (uint32_t d = 0; d < rank; d++)
        if (at[d] == index) return d;
    return 0; /* the batch: nobody's wish */
}

static bool follow_read(Wishes *w, const Node *node, const Expr *read) {
    const Wish *there = map_get(&w->of, read->read.tensor), *here = map_get(&w->of, node->result);
    Index **at = indices_of(w, read);
    uint32_t rank = read->read.tensor->rank;
    if (there && !here && at[there->dim]) {
        uint32_t dim = dim_of(node->at, node->result->rank, at[there->dim]);
        return add_wish(w, node->result, dim, there->weight);
    }
    if (here && !there)
        return add_wish(w, read->read.tensor, dim_of(at, rank, node->at[here->dim]), here->weight);
    return false;
}

static bool follow(Wishes *w, const Node *node) {
    bool changed = false;
    if (!node->body) return false;
    const Reads *reads = ir_reads(w->p->ctx, node->body);
    for (uint32_t r = 0; r < reads->len; r++) changed |= follow_read(w, node, reads->at[r]);
    return changed;
}

/* To and fro, so that a wish reaches everybody in a few rounds. */
static void spread(Wishes *w) {
    const Planner *p = w->p;
    for (bool changed = w->of.len > 0; changed;) {
        changed = false;
        for (uint32_t i = 0; i < p->nodes.len; i++) changed |= follow(w, p->nodes.at[i]);
        for (uint32_t i = p->nodes.len; i-- > 0;) changed |= follow(w, p->nodes.at[i]);
    }
}

/* ---- the pass -----------------------------------------------------------------------------------
 */

static void set_order(Planner *p, const Tensor *tensor, uint32_t last) {
    uint32_t *order = ARENA_ARRAY(p->ctx->arena, uint32_t, tensor->rank), n = 0;
    for (uint32_t d = 0; d < tensor->rank; d++)
        if (d != last) order[n++] = d;
    order[n] = last;
    map_set(p->ctx->arena, &p->f->storage, tensor, order);
}

void plan_storage(Planner *p) {
    Wishes w = {.p = p};
    find_fixed(&w);
    for (uint32_t i = 0; i < p->nodes.len; i++) look_at_contraction(&w, p->nodes.at[i]);
    spread(&w);
    for (uint32_t i = 0; i < w.of.len; i++) {
        const Wish *wish = w.of.entries[i].value;
        const Tensor *tensor = w.of.entries[i].key;
        if (wish->dim + 1 < tensor->rank) set_order(p, tensor, wish->dim);
    }
}
