/* plan/again.c: what a group of rows computes once more instead of reading it from memory.
 *
 * in:   groups in order, none of them a nest yet      out: more members, at their beginning
 *
 * What one group writes and another one reads would have to be in memory for all rows. Where it is
 * long in two indices and follows from what is not, within a row and by short sums, each of them
 * computes it for its own block: scores and weights of an attention, in the backward pass. Row by
 * row the same operations give the same bits. What is one number a row, as a maximum, stays in
 * memory.
 */
#include "plan/nest.h"

enum { MOST_SUM = 256 }; /* multiplications for an element that is computed again */

static const Member *writer_of(const Group *g, const Tensor *tensor) {
    const Node *node = map_get(&g->p->node_of, tensor);
    for (uint32_t i = 0; node && i < g->nmembers; i++)
        if (g->members[i].draft == node->draft) return &g->members[i];
    return NULL;
}

/* Is it one number for each row, or less? */
static bool is_short(const Group *g, const Member *m, const Tensor *tensor) {
    uint32_t inner = 0;
    const Node *node = map_get(&g->p->node_of, tensor);
    for (uint32_t d = 0; d < tensor->rank; d++)
        inner += !plan_contains(m->outer, g->nouter, node->at[d]) && tensor->dims[d] != 1;
    return inner == 0;
}

static bool same_outer(const Group *g, const Group *other) {
    if (g->nouter != other->nouter) return false;
    for (uint32_t o = 0; o < g->nouter; o++)
        if (g->members[0].outer[o]->extent != other->members[0].outer[o]->extent) return false;
    return true;
}

/* Is the old value still there when the group runs? */
static bool is_there(const Group *g, Tensor *base) {
    const Node *next = map_get(&g->p->target_of, base);
    return !next || (next->draft && next->draft->position > g->members[0].draft->position);
}

static bool may_compute(const Group *g, const Member *m) {
    const Kernel *k = m->draft->kernel;
    if (m->adds || (k->kind != KERNEL_MAP && k->kind != KERNEL_CONTRACT)) return false;
    for (uint32_t i = 0; i < m->draft->nodes.len; i++)
        if (m->draft->nodes.at[i]->is_pinned) return false;
    return k->kind == KERNEL_MAP || plan_points(g->p, k->over, k->nover) <= MOST_SUM;
}

/* can: of the members before this one. */
static bool may_again(const Group *g, const Group *other, const Member *m, const bool *can) {
    Reads reads = {0};
    if (!may_compute(other, m)) return false;
    nest_reads(g->p, m->draft, &reads);
    for (uint32_t r = 0; r < reads.len; r++) {
        Tensor *base = plan_base(g->p, reads.at[r]->read.tensor);
        const Member *from = writer_of(other, base);
        if (from == m) continue;
        if (from && (from->adds || from > m)) return false;
        if (from && !is_short(other, from, base) && !can[from - other->members]) return false;
        if (!is_there(g, base)) return false;
    }
    return true;
}

bool nest_may_again(const Group *g, const Group *other, const Tensor *tensor) {
    const Member *m = writer_of(other, tensor);
    bool can[NEST_MOST_STEPS] = {0};
    if (!m || !same_outer(g, other) || is_short(other, m, tensor)) return false;
    uint32_t number = (uint32_t)(m - other->members);
    for (uint32_t i = 0; i <= number; i++) can[i] = may_again(g, other, &other->members[i], can);
    return can[number];
}

/* ---- copies of members -------------------------------------------------------------------------
 */

typedef struct Again {
    Planner *p;
    Group *g;
    const Group *other; /* whose members they are */
    uint32_t n;         /* members so far, the first ones */
    Map tensors;        /* Tensor* of the others' → that of the copy */
} Again;

static const Expr *read_copy(void *data, const Expr *e) {
    Again *a = data;
    Tensor *to = e->kind == EX_READ ? map_get(&a->tensors, e->read.tensor) : NULL;
    return to ? nest_read_of(a->p->ctx, e, to, NULL, read_copy, a) : NULL;
}

static const Expr *copied(void *data, const Expr *e) {
    const Again *a = data;
    return ir_rewrite_reads(a->p->ctx, e, read_copy, data);
}

static void read_copies(Again *a, Draft *draft) {
    for (uint32_t i = 0; i < draft->nodes.len; i++)
        plan_rewrite_node(a->p->ctx, draft->nodes.at[i], read_copy, a);
    nest_change_kernel(draft->kernel, copied, a);
}

static Node *copy_node(Again *a, const Node *from, Draft *draft) {
    Arena *arena = a->p->ctx->arena, *scratch = a->p->ctx->scratch;
    Node *node = arena_copy(scratch, from, sizeof *from);
    const Tensor *old = from->result;
    const char *name = arena_printf(arena, "%s.again", old->name);
    node->result = plan_tensor(a->p, name, old->rank, old->dims, old->classes, old->span);
    node->at = arena_copy(arena, from->at, (old->rank + 1) * sizeof *from->at);
    if (from->nfactors)
        node->factors = arena_copy(arena, from->factors, from->nfactors * sizeof *from->factors);
    node->uses.at = NULL;
    node->uses.len = node->uses.cap = 0;
    node->draft = draft;
    map_set(scratch, &a->p->node_of, node->result, node);
    map_set(scratch, &a->g->written, node->result, map_get(&a->other->written, old));
    map_set(scratch, &a->tensors, old, node->result);
    vec_push(scratch, &a->p->nodes, node);
    return node;
}

static void compute(Again *a, const Tensor *tensor);

static void add_copy(Again *a, const Member *m) {
    Arena *scratch = a->p->ctx->scratch;
    Draft *draft = ARENA_NEW(scratch, Draft);
    *draft = (Draft){.in = m->draft->in, .position = a->g->members[a->n].draft->position};
    draft->kernel = arena_copy(a->p->ctx->arena, m->draft->kernel, sizeof *draft->kernel);
    for (uint32_t i = 0; i < m->draft->nodes.len; i++)
        vec_push(scratch, &draft->nodes, copy_node(a, m->draft->nodes.at[i], draft));
    read_copies(a, draft);
    Group *g = a->g;
    memmove(&g->members[a->n + 1], &g->members[a->n], (g->nmembers - a->n) * sizeof *g->members);
    g->members[a->n] = *m;
    g->members[a->n++].draft = draft;
    g->nmembers++;
}

/* The other group's members up to the one that writes the tensor, as far as it needs them. */
static void compute(Again *a, const Tensor *tensor) {
    const Member *m = writer_of(a->other, tensor);
    if (map_has(&a->tensors, tensor)) return;
    Reads reads = {0};
    nest_reads(a->p, m->draft, &reads);
    for (uint32_t r = 0; r < reads.len; r++) {
        const Tensor *base = plan_base(a->p, reads.at[r]->read.tensor);
        const Member *from = writer_of(a->other, base);
        if (from && from != m && !is_short(a->other, from, base)) compute(a, base);
    }
    add_copy(a, m);
}

/* ---- which -------------------------------------------------------------------------------------
 */

/* Will nobody but the group read it, if others that can compute it again? */
static bool all_can(const Map *group_of, const Group *other, const Tensor *tensor) {
    const Node *node = map_get(&other->p->node_of, tensor);
    for (uint32_t u = 0; u < node->uses.len; u++) {
        const Group *g = map_get(group_of, node->uses.at[u].user->draft);
        if (!g || (g != other && !nest_may_again(g, other, tensor))) return false;
    }
    return true;
}

/* The group, not this one, that writes a tensor which this one can compute again. */
static Group *computable(const Group *g, const Map *group_of, const Tensor *tensor) {
    const Node *node = map_get(&g->p->node_of, tensor);
    Group *other = node && node->draft ? map_get(group_of, node->draft) : NULL;
    if (!other || other == g || !nest_may_again(g, other, tensor)) return NULL;
    if (g->nmembers + other->nmembers > NEST_MOST_STEPS) return NULL;
    return all_can(group_of, other, tensor) ? other : NULL;
}

/* Of all that the group reads of the other one. */
static void again_of(Group *g, const Group *other, const Map *group_of, const Reads *reads) {
    Again a = {.p = g->p, .g = g, .other = other};
    for (uint32_t r = 0; r < reads->len; r++) {
        const Tensor *tensor = reads->at[r]->read.tensor;
        if (computable(g, group_of, tensor) == other) compute(&a, tensor);
    }
    for (uint32_t i = a.n; i < g->nmembers; i++) read_copies(&a, g->members[i].draft);
}

void nest_compute_again(Group *g, const Map *group_of) {
    Reads reads = {0};
    for (uint32_t i = 0; i < g->nmembers; i++) nest_reads(g->p, g->members[i].draft, &reads);
    for (uint32_t r = 0; r < reads.len; r++) {
        const Tensor *tensor = reads.at[r]->read.tensor;
        const Group *other = computable(g, group_of, tensor);
        bool is_read = false;
        for (uint32_t i = 0; i < g->nmembers && other && !is_read; i++) {
            Reads now = {0};
            nest_reads(g->p, g->members[i].draft, &now);
            for (uint32_t k = 0; k < now.len; k++) is_read |= now.at[k]->read.tensor == tensor;
        }
        if (is_read) again_of(g, other, group_of, &reads);
    }
}
