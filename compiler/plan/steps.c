/* plan/steps.c: a group of kernels becomes a nest.
 *
 * in:   a group, whose members touch one piece of each tensor a turn      out: a nest, whose steps
 * see the outer indices as numbers
 *
 * What only the steps read has the size of one turn. What sums along the rows of blocks is zero
 * before the nest, and each block adds to it; what is computed of it comes behind the nest.
 */
#include "plan/nest.h"

/* The list without the first `nouter` outer indices. */
static Index **without(Planner *p, Index *const *list, uint32_t *n, const Group *g,
                       uint32_t nouter) {
    Index **rest = ARENA_ARRAY(p->ctx->arena, Index *, *n + 1);
    uint32_t nrest = 0;
    for (uint32_t i = 0; i < *n; i++)
        if (!plan_contains(g->members[0].outer, nouter, list[i])) rest[nrest++] = list[i];
    *n = nrest;
    return rest;
}

const Expr *nest_read_of(Ctx *ctx, const Expr *read, Tensor *tensor, const uint32_t *dims,
                         NestChange *change, void *data) {
    const Expr **subs = ARENA_ARRAY(ctx->arena, const Expr *, tensor->rank + 1);
    for (uint32_t d = 0; d < tensor->rank; d++)
        subs[d] = ir_rewrite_reads(ctx, read->read.subs[dims ? dims[d] : d], change, data);
    const Expr *otherwise = read->read.otherwise;
    if (otherwise) otherwise = ir_rewrite_reads(ctx, otherwise, change, data);
    return ir_read(ctx, tensor, subs, otherwise);
}

void nest_change_kernel(Kernel *k, NestChange *change, void *data) {
    if (k->body) k->body = change(data, k->body);
    for (uint32_t i = 0; i < k->nalso; i++) k->also[i].body = change(data, k->also[i].body);
    if (k->roles.a) k->roles.a = change(data, k->roles.a);
    if (k->roles.b) k->roles.b = change(data, k->roles.b);
}

typedef struct Renaming {
    Ctx *ctx;
    Map indices; /* Index* → Expr* */
} Renaming;

static const Expr *renamed(void *data, const Expr *e) {
    const Renaming *renaming = data;
    return ir_substitute(renaming->ctx, e, &renaming->indices);
}

static void rename_in(Index **list, uint32_t n, const Index *from, Index *to) {
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == from) list[i] = to;
}

static void rename_index(Kernel *k, const Index *from, Index *to) {
    rename_in(k->free, k->nfree, from, to);
    rename_in(k->over, k->nover, from, to);
    rename_in(k->roles.batch, k->roles.nbatch, from, to);
    rename_in(k->roles.m, k->roles.nm, from, to);
    rename_in(k->roles.n, k->roles.nn, from, to);
}

static void rename_outer(Planner *p, const Group *g, const Member *m) {
    Index *const *to = g->members[0].outer;
    Kernel *k = m->draft->kernel;
    Renaming renaming = {.ctx = p->ctx};
    for (uint32_t o = 0; o < g->nouter; o++) {
        map_set(p->ctx->scratch, &renaming.indices, m->outer[o],
                (void *)ir_index_value(p->ctx, to[o]));
        rename_index(k, m->outer[o], to[o]);
    }
    for (uint32_t i = 0; i < m->draft->nodes.len; i++) {
        Node *node = m->draft->nodes.at[i];
        plan_substitute_node(p->ctx, node, &renaming.indices);
        for (uint32_t o = 0; o < g->nouter; o++)
            rename_in(node->at, node->result->rank, m->outer[o], to[o]);
        if (node->reduces) node->over = k->over;
    }
    nest_change_kernel(k, renamed, &renaming);
}

static Index **own_list(Planner *p, Index *const *list, uint32_t n) {
    return n ? arena_copy(p->ctx->arena, list, n * sizeof *list) : NULL;
}

static void own_lists(Planner *p, Kernel *k) {
    k->free = own_list(p, k->free, k->nfree);
    k->over = own_list(p, k->over, k->nover);
    k->roles.batch = own_list(p, k->roles.batch, k->roles.nbatch);
    k->roles.m = own_list(p, k->roles.m, k->roles.nm);
    k->roles.n = own_list(p, k->roles.n, k->roles.nn);
    if (k->roles.nk) k->roles.k = k->over;
}

/* The outer loops are not the step's any more, all but blocked rows. */
static void make_step(Planner *p, const Group *g, const Member *m, Draft *nest) {
    Kernel *k = m->draft->kernel;
    k->around = nest->kernel;
    own_lists(p, k);
    rename_outer(p, g, m);
    uint32_t nouter = g->nouter - (nest->kernel->block > 0);
    k->free = without(p, k->free, &k->nfree, g, nouter);
    k->roles.batch = without(p, k->roles.batch, &k->roles.nbatch, g, nouter);
    for (uint32_t i = 0; i < m->draft->nodes.len; i++) {
        Node *node = m->draft->nodes.at[i];
        node->free = k->free;
        node->nfree = k->nfree;
        if (node->reduces) plan_accumulator(p, k, node);
    }
    m->draft->nest = nest;
    vec_push(p->ctx->scratch, &nest->steps->all, m->draft);
}

/* ---- what lives for one turn -------------------------------------------------------------------
 */

bool nest_may_shrink(const Planner *p, const Map *aliased, const Node *node) {
    bool has_place = map_has(&p->f->storage, node->result) || map_has(aliased, node->result);
    return node->in_memory && !node->is_pinned && !node->before && !has_place &&
           !node->result->classes;
}

/* Is it read in this nest alone? Then there need not be more of it than one turn's piece. */
static bool is_of_turn(const Group *g, const Map *aliased, const Draft *nest, const Node *node) {
    if (!nest_may_shrink(g->p, aliased, node) || (nest->kernel->block && !g->rows)) return false;
    for (uint32_t u = 0; u < node->uses.len; u++)
        if (node->uses.at[u].user->draft->nest != nest) return false;
    return true;
}

typedef struct Shrink {
    Planner *p;
    const Tensor *from;
    Tensor *to;
    const uint32_t *dims; /* those of `from` that `to` has */
} Shrink;

static const Expr *shrink_read(void *data, const Expr *e) {
    Shrink *s = data;
    if (e->kind != EX_READ || e->read.tensor != s->from) return NULL;
    return nest_read_of(s->p->ctx, e, s->to, s->dims, shrink_read, s);
}

static const Expr *shrunk(void *data, const Expr *e) {
    const Shrink *s = data;
    return ir_rewrite_reads(s->p->ctx, e, shrink_read, data);
}

static void shrink_step(Draft *step, Shrink *s) {
    for (uint32_t i = 0; i < step->nodes.len; i++)
        plan_rewrite_node(s->p->ctx, step->nodes.at[i], shrink_read, s);
    nest_change_kernel(step->kernel, shrunk, s);
}

/* The node's tensor loses its outer dimensions. Of rows in blocks there is a block, so that they
 * come first. */
static void shrink(const Group *g, Draft *nest, Node *node) {
    Planner *p = g->p;
    const Tensor *from = node->result;
    const Index *row = g->rows ? g->members[0].outer[g->nouter - 1] : NULL;
    uint32_t *dims = ARENA_ARRAY(p->ctx->arena, uint32_t, from->rank + 1), rank = 0;
    int64_t *extents = ARENA_ARRAY(p->ctx->arena, int64_t, from->rank + 1);
    Index **at = ARENA_ARRAY(p->ctx->arena, Index *, from->rank + 1);
    for (uint32_t d = 0; d < from->rank; d++)
        if (node->at[d] == row) dims[rank++] = d;
    node->block = rank ? g->block : 0;
    for (uint32_t d = 0; d < from->rank; d++)
        if (!plan_contains(g->members[0].outer, g->nouter, node->at[d])) dims[rank++] = d;
    for (uint32_t d = 0; d < rank; d++) {
        extents[d] = from->dims[dims[d]];
        at[d] = node->at[dims[d]];
    }
    const char *name = arena_printf(p->ctx->arena, "%s.turn", from->name);
    Shrink s = {p, from, plan_tensor(p, name, rank, extents, 0, from->span), dims};
    for (uint32_t i = 0; i < nest->steps->all.len; i++) shrink_step(nest->steps->all.at[i], &s);
    node->result = s.to;
    node->at = at;
    node->is_of_turn = true;
    map_set(p->ctx->scratch, &p->node_of, s.to, node);
}

/* What replaces another node's result lies in its place. */
static void share_places(Planner *p, const Draft *nest) {
    for (uint32_t i = 0; i < nest->steps->all.len; i++) {
        const Draft *step = nest->steps->all.at[i];
        for (uint32_t n = 0; n < step->nodes.len; n++) {
            const Node *node = step->nodes.at[n];
            if (node->replaces && node->is_of_turn && node->replaces->is_of_turn)
                map_set(p->ctx->scratch, &p->in_place, node->result, node->replaces->result);
        }
    }
}

static void shrink_all(const Group *g, const Map *aliased, Draft *nest) {
    for (uint32_t i = 0; i < g->nmembers; i++) {
        const Draft *step = g->members[i].draft;
        for (uint32_t n = 0; n < step->nodes.len; n++)
            if (is_of_turn(g, aliased, nest, step->nodes.at[n])) shrink(g, nest, step->nodes.at[n]);
    }
}

/* ---- sums along the rows -----------------------------------------------------------------------
 */

Draft *nest_new_map(Planner *p, const Draft *like, Index **free, uint32_t nfree) {
    Draft *draft = ARENA_NEW(p->ctx->scratch, Draft);
    *draft = (Draft){.in = like->in, .position = like->position};
    draft->kernel = ARENA_NEW(p->ctx->arena, Kernel);
    *draft->kernel =
        (Kernel){.kind = KERNEL_MAP, .span = like->kernel->span, .free = free, .nfree = nfree};
    return draft;
}

Draft *nest_zero(Planner *p, Node *node, const Draft *first) {
    const Tensor *sum = node->result;
    const char *name = arena_printf(p->ctx->arena, "%s.zero", sum->name);
    Tensor *before = plan_tensor(p, name, sum->rank, sum->dims, 0, sum->span);
    Node *zero = plan_add_node(p, before, ir_free_indices(p->ctx, before, NULL),
                               ir_number(p->ctx, 0), node->span);
    zero->in_memory = node->in_memory = true;
    node->before = before;
    vec_push(p->ctx->scratch, &p->nodes, zero);
    map_set(p->ctx->scratch, &p->in_place, before, node->result);
    zero->draft = nest_new_map(p, first, zero->free, zero->nfree);
    vec_push(p->ctx->scratch, &zero->draft->nodes, zero);
    return zero->draft;
}

/* ---- the nest ----------------------------------------------------------------------------------
 */

Draft *nest_make(Group *g, const Map *aliased) {
    Planner *p = g->p;
    Draft *first = g->members[0].draft, *nest = ARENA_NEW(p->ctx->scratch, Draft);
    *nest = (Draft){.in = first->in, .position = first->position};
    nest->kernel = ARENA_NEW(p->ctx->arena, Kernel);
    nest->kernel->kind = KERNEL_NEST;
    nest->kernel->span = first->kernel->span;
    nest->kernel->free = arena_copy(p->ctx->arena, g->members[0].outer,
                                    NEST_MOST_OUTER * sizeof *g->members[0].outer);
    nest->kernel->nfree = g->nouter;
    nest->kernel->block = g->block;
    nest->steps = ARENA_NEW(p->ctx->scratch, Drafts);
    for (uint32_t i = 0; i < g->nmembers; i++) make_step(p, g, &g->members[i], nest);
    shrink_all(g, aliased, nest);
    share_places(p, nest);
    if (g->rows) nest_bands(g, nest);
    return nest;
}
