/* plan/nodes.c: equations to nodes.
 *
 * in:   a normalised module      out: one Node for each equation that a root or an update needs,
 * in the module's order; results and new values are tensors of their own, each used once as such
 */
#include "plan/private.h"

/* ---- looking at expressions ----------------------------------------------------------------- */

static void add_reads(Ctx *ctx, const Expr *e, Reads *reads) {
    const Reads *more = ir_reads(ctx, e);
    uint32_t before = reads->len;
    for (uint32_t i = 0; i < more->len; i++) {
        bool known = false;
        for (uint32_t k = 0; k < before && !known; k++) known = reads->at[k] == more->at[i];
        if (!known) vec_push(ctx->scratch, reads, more->at[i]);
    }
}

void plan_add_reads(Ctx *ctx, const Node *node, Reads *reads) {
    if (node->body) add_reads(ctx, node->body, reads);
    for (uint32_t i = 0; i < node->nfactors; i++) add_reads(ctx, node->factors[i], reads);
}

const Reads *plan_node_reads(Ctx *ctx, const Node *node, Reads *own) {
    if (!node->nfactors) return ir_reads(ctx, node->body);
    plan_add_reads(ctx, node, own);
    return own;
}

bool plan_contains(Index *const *list, uint32_t n, const Index *index) {
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == index) return true;
    return false;
}

Index *plan_batch_among(Index *const *indices, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (indices[i]->extent == EXTENT_BATCH) return indices[i];
    return NULL;
}

Index *plan_index_alone(const Expr *e) {
    if (e->kind != EX_AFFINE || e->affine.nterms != 1) return NULL;
    const Term *term = &e->affine.terms[0];
    return term->coefficient == 1 && term->atom->kind == EX_INDEX ? term->atom->index : NULL;
}

bool plan_reads_at(const Expr *read, Index *const *at) {
    if (read->read.otherwise) return false;
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        const Expr *sub = read->read.subs[d];
        if (sub->affine.offset != 0 || plan_index_alone(sub) != at[d]) return false;
    }
    return true;
}

bool plan_is_plain(const Expr *read) {
    if (read->kind != EX_READ || read->type != TY_REAL || read->read.otherwise) return false;
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        const Expr *sub = read->read.subs[d];
        for (uint32_t t = 0; t < sub->affine.nterms; t++)
            if (sub->affine.terms[t].atom->kind != EX_INDEX) return false;
    }
    return true;
}

Tensor *plan_base(const Planner *p, const Tensor *tensor) {
    Tensor *base = map_get(&p->alias_of, tensor);
    return base ? base : (Tensor *)tensor;
}

double plan_points(const Planner *p, Index *const *indices, uint32_t n) {
    double points = 1;
    for (uint32_t i = 0; i < n; i++)
        points *=
            (double)(indices[i]->extent == EXTENT_BATCH ? p->m->max_batch : indices[i]->extent);
    return points;
}

/* ---- changing nodes ---------------------------------------------------------------------------
 */

void plan_rewrite_node(Ctx *ctx, Node *node, const Expr *(*change)(void *data, const Expr *e),
                       void *data) {
    if (node->body) node->body = ir_rewrite_reads(ctx, node->body, change, data);
    for (uint32_t i = 0; i < node->nfactors; i++)
        node->factors[i] = ir_rewrite_reads(ctx, node->factors[i], change, data);
}

void plan_substitute_node(Ctx *ctx, Node *node, const Map *replacements) {
    if (node->body) node->body = ir_substitute(ctx, node->body, replacements);
    for (uint32_t i = 0; i < node->nfactors; i++)
        node->factors[i] = ir_substitute(ctx, node->factors[i], replacements);
}

Tensor *plan_tensor(Planner *p, const char *name, uint32_t rank, const int64_t *dims,
                    int64_t classes, Span span) {
    return ir_tensor(p->ctx, p->scratch, TENSOR_LOCAL, sym(p->ctx, name), rank, dims, classes,
                     span);
}

static void set_free(Planner *p, Node *node) {
    uint32_t rank = node->result->rank;
    node->free = ARENA_ARRAY(p->ctx->arena, Index *, rank + 1);
    node->nfree = 0;
    for (uint32_t d = 0; d < rank; d++)
        if (!node->scan.group || d != node->scan.dim) node->free[node->nfree++] = node->at[d];
}

Node *plan_add_node(Planner *p, Tensor *result, Index **at, const Expr *body, Span span) {
    Node *node = ARENA_NEW(p->ctx->scratch, Node);
    node->result = result;
    node->at = at;
    node->body = body;
    node->span = span;
    set_free(p, node);
    map_set(p->ctx->scratch, &p->node_of, result, node);
    return node;
}

void plan_uses(Planner *p) {
    for (uint32_t i = 0; i < p->nodes.len; i++) {
        p->nodes.at[i]->number = i;
        p->nodes.at[i]->uses.len = 0;
    }
    for (uint32_t i = 0; i < p->nodes.len; i++) {
        Node *user = p->nodes.at[i];
        if (user->is_inlined) continue;
        Reads own = {0};
        const Reads *reads = plan_node_reads(p->ctx, user, &own);
        for (uint32_t r = 0; r < reads->len; r++) {
            Node *read = map_get(&p->node_of, plan_base(p, reads->at[r]->read.tensor));
            if (read) vec_push(p->ctx->scratch, &read->uses, ((Use){user, reads->at[r]}));
        }
    }
}

/* ---- from equations ---------------------------------------------------------------------------
 */

/* Equations may share index objects. A node has its own, so that one can be renamed to another's.
 */
static void own_indices(Planner *p, Node *node, const Equation *equation) {
    Ctx *ctx = p->ctx;
    uint32_t rank = equation->result->rank;
    Map own = {0};
    node->at = ARENA_ARRAY(ctx->arena, Index *, rank + 1);
    for (uint32_t d = 0; d < rank; d++) {
        node->at[d] = ir_index(ctx, equation->free[d]->name, equation->free[d]->extent);
        map_set(ctx->scratch, &own, equation->free[d], (void *)ir_index_value(ctx, node->at[d]));
    }
    if (node->scan.group) node->time = node->at[node->scan.dim];
    set_free(p, node);
    plan_substitute_node(ctx, node, &own);
}

static Node *node_of_equation(Planner *p, const Equation *equation) {
    Node *node = ARENA_NEW(p->ctx->scratch, Node);
    const Expr *body = equation->body;
    node->result = equation->result;
    node->span = equation->span;
    node->scan = equation->scan;
    node->body = body;
    if (body->kind == EX_AFFINE && body->affine.nterms == 1 && body->affine.offset == 0 &&
        body->affine.terms[0].coefficient == 1 && body->affine.terms[0].atom->kind == EX_REDUCE)
        body = body->affine.terms[0].atom; /* an argmax */
    if (body->kind == EX_REDUCE) {
        node->reduces = true;
        node->op = body->reduce.op;
        node->over = body->reduce.over;
        node->nover = body->reduce.nover;
        node->body = body->reduce.body;
    }
    if (body->kind == EX_CONTRACT) {
        node->reduces = true;
        node->op = REDUCE_SUM;
        node->over = body->contract.over;
        node->nover = body->contract.nover;
        node->body = NULL;
        node->nfactors = body->contract.nfactors;
        node->factors = arena_copy(p->ctx->arena, body->contract.factors,
                                   node->nfactors * sizeof *node->factors);
    }
    own_indices(p, node, equation);
    map_set(p->ctx->scratch, &p->node_of, node->result, node);
    return node;
}

typedef struct Need {
    Planner *p;
    Map needed;
    Vec(const Tensor *) work;
} Need;

static void need(Need *n, const Tensor *tensor) {
    if (map_has(&n->needed, tensor) || !ir_definition(n->p->m, tensor)) return;
    map_set(n->p->ctx->scratch, &n->needed, tensor, (void *)tensor);
    vec_push(n->p->ctx->scratch, &n->work, tensor);
}

static void add_equations(Planner *p) {
    Need n = {.p = p};
    for (uint32_t i = 0; i < p->m->roots.len; i++) need(&n, p->m->roots.at[i].tensor);
    for (uint32_t i = 0; i < p->m->updates.len; i++) need(&n, p->m->updates.at[i].value);
    while (n.work.len) {
        const Tensor *tensor = n.work.at[--n.work.len];
        const Reads *reads = ir_reads(p->ctx, ir_definition(p->m, tensor)->body);
        for (uint32_t i = 0; i < reads->len; i++) need(&n, reads->at[i]->read.tensor);
    }
    for (uint32_t i = 0; i < p->m->equations.len; i++) {
        const Equation *equation = p->m->equations.at[i];
        if (map_has(&n.needed, equation->result))
            vec_push(p->ctx->scratch, &p->nodes, node_of_equation(p, equation));
    }
}

/* copy[..] = tensor[..] */
static Node *add_copy(Planner *p, const char *name, Tensor *tensor, Span span) {
    Tensor *copy = plan_tensor(p, arena_printf(p->ctx->arena, "%s.copy", name), tensor->rank,
                               tensor->dims, tensor->classes, span);
    Index **at = ir_free_indices(p->ctx, copy, NULL);
    const Expr *body = ir_read_at(p->ctx, tensor, at);
    if (body->type == TY_INT) body = ir_int_atom(p->ctx, body);
    Node *node = plan_add_node(p, copy, at, body, span);
    vec_push(p->ctx->scratch, &p->nodes, node);
    return node;
}

static void add_roots(Planner *p) {
    p->roots = ARENA_ARRAY(p->ctx->arena, Tensor *, p->m->roots.len + 1);
    for (uint32_t i = 0; i < p->m->roots.len; i++) {
        const Root *root = &p->m->roots.at[i];
        Node *node = map_get(&p->node_of, root->tensor);
        if (!node || node->is_root)
            node = add_copy(p, root->name, root->tensor, root->tensor->span);
        node->is_root = node->is_pinned = true;
        p->roots[i] = node->result;
    }
}

static void add_updates(Planner *p) {
    for (uint32_t i = 0; i < p->m->updates.len; i++) {
        Update update = p->m->updates.at[i];
        if (update.value == update.target) continue;
        Node *node = map_get(&p->node_of, update.value);
        if (!node || node->target || node->is_root || node->scan.group)
            node = add_copy(p, update.target->name, update.value, update.value->span);
        node->target = update.target;
        node->is_pinned = true;
        map_set(p->ctx->scratch, &p->target_of, update.target, node);
    }
}

void plan_nodes(Planner *p) {
    add_equations(p);
    add_roots(p);
    add_updates(p);
    plan_uses(p);
}
