/* plan/inline.c: definitions that need no kernel and no memory of their own.
 *
 * in:   nodes      out: fewer nodes
 *
 * An elementwise definition vanishes
 *   - as an alias, when it is another shape of the same memory (flatten);
 *   - into its users, when it is a read in other words (a transpose, a slice, a gather), when it is
 *     used once, inside a reduction or made of leaves alone, or when it costs next to nothing.
 * Elsewhere it stays a node: elementwise users at the same point then share its kernel, which
 * computes it once. Decided from the last node to the first, so that what becomes of the users is
 * known: `evaluations` counts how often a definition would be evaluated where it would end up.
 */
#include "plan/private.h"

/* ---- the decision -----------------------------------------------------------------------------
 */

static bool is_view(const Node *node) {
    return node->body && node->body->kind == EX_READ && !node->body->read.otherwise;
}

/* The same elements in the same order? A class tensor's body is its read as an affine atom. */
static const Expr *reshaped_read(Planner *p, const Node *node) {
    const Expr *read = node->body;
    if (read->kind == EX_AFFINE && read->affine.nterms == 1 && read->affine.offset == 0 &&
        read->affine.terms[0].coefficient == 1)
        read = read->affine.terms[0].atom;
    if (read->kind != EX_READ || read->read.otherwise) return NULL;
    if (!read->read.tensor->classes != !node->result->classes) return NULL;
    const Expr **own = ARENA_ARRAY(p->ctx->arena, const Expr *, node->result->rank + 1);
    for (uint32_t d = 0; d < node->result->rank; d++) own[d] = ir_index_value(p->ctx, node->at[d]);
    const Expr *here = plan_address(p, node->result, own);
    return plan_address(p, read->read.tensor, read->read.subs) == here ? read : NULL;
}

static void count_use(Planner *p, Node *node, const Use *use) {
    const Node *user = use->user;
    if (use->read->read.otherwise || user->is_alias) node->in_memory_use = true;
    if (user->scan.group && !is_view(node)) node->in_memory_use = true;
    if (user->is_inlined) {
        if (node->carried < user->carried) node->carried = user->carried;
        node->evaluations += user->evaluations;
        node->nfinal += user->nfinal;
        node->in_contract |= user->in_contract;
        node->in_reduction |= user->in_reduction;
        return;
    }
    node->evaluations +=
        plan_points(p, user->at, user->result->rank) * plan_points(p, user->over, user->nover);
    node->nfinal++;
    node->in_contract |= user->nfactors > 0;
    node->in_reduction |= user->reduces;
}

static bool is_cheap(Planner *p, const Node *node) {
    Reads own = {0};
    const Reads *reads = plan_node_reads(p->ctx, node, &own);
    double cost = plan_cost(p->ctx, node->body);
    double size = plan_points(p, node->at, node->result->rank);
    if (cost <= 1 && reads->len <= 1) return true;
    return node->in_reduction && cost <= 2 && reads->len <= 2 && node->evaluations <= 3 * size;
}

/* What a chain of definitions may cost together where its last user takes it in: longer ones would
 * be written out again and again, link by link. */
enum { MOST_CARRIED = 100 };

/* Made of what is there from the start: it has no place of its own in the order of kernels, and
 * would only come too early or too late for its user's. */
static bool reads_leaves(Planner *p, const Node *node) {
    Reads own = {0};
    const Reads *reads = plan_node_reads(p->ctx, node, &own);
    for (uint32_t i = 0; i < reads->len; i++)
        if (map_has(&p->node_of, plan_base(p, reads->at[i]->read.tensor))) return false;
    return true;
}

static bool vanishes(Planner *p, const Node *node) {
    if (node->uses.len == 0 || node->in_memory_use || node->result->classes) return false;
    if (node->in_contract) return plan_is_plain(node->body);
    if (node->carried > MOST_CARRIED) return false;
    if (is_view(node)) return true;
    double size = plan_points(p, node->at, node->result->rank);
    if (node->nfinal == 1 && node->evaluations <= size)
        if (node->in_reduction || reads_leaves(p, node)) return true;
    return is_cheap(p, node);
}

static void decide(Planner *p, Node *node) {
    node->evaluations = node->carried = 0;
    for (uint32_t i = 0; i < node->uses.len; i++) count_use(p, node, &node->uses.at[i]);
    if (node->reduces || node->is_pinned || node->scan.group) return;
    const Expr *read = reshaped_read(p, node);
    if (read && (node->in_memory_use || node->result->classes || !plan_reads_at(read, node->at))) {
        node->is_alias = true;
        return;
    }
    node->carried += 1 + plan_cost(p->ctx, node->body);
    node->is_inlined = vanishes(p, node);
}

/* ---- the substitution -------------------------------------------------------------------------
 */

static const Expr *inline_read(void *data, const Expr *e) {
    Planner *p = data;
    if (e->kind != EX_READ) return NULL;
    const Node *node = map_get(&p->node_of, e->read.tensor);
    if (!node || !node->is_inlined) return NULL;
    Map point = {0};
    for (uint32_t d = 0; d < e->read.tensor->rank; d++) {
        const Expr *sub = ir_rewrite_reads(p->ctx, e->read.subs[d], inline_read, p);
        map_set(p->ctx->scratch, &point, node->at[d], (void *)sub);
    }
    return ir_substitute(p->ctx, node->body, &point);
}

/* Substitution may leave nothing of a read: what was read then is not needed any more. */
static void drop_unused(Planner *p) {
    Map needed = {0};
    Vec(Node *) work = {0};
    for (uint32_t i = 0; i < p->nodes.len; i++)
        if (p->nodes.at[i]->is_pinned) vec_push(p->ctx->scratch, &work, p->nodes.at[i]);
    while (work.len) {
        Node *node = work.at[--work.len];
        if (map_has(&needed, node)) continue;
        map_set(p->ctx->scratch, &needed, node, node);
        Reads own = {0};
        const Reads *reads = plan_node_reads(p->ctx, node, &own);
        for (uint32_t r = 0; r < reads->len; r++) {
            Node *read = map_get(&p->node_of, plan_base(p, reads->at[r]->read.tensor));
            if (read) vec_push(p->ctx->scratch, &work, read);
        }
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->nodes.len; i++)
        if (map_has(&needed, p->nodes.at[i])) p->nodes.at[kept++] = p->nodes.at[i];
    p->nodes.len = kept;
}

void plan_inline(Planner *p) {
    for (uint32_t i = p->nodes.len; i-- > 0;) decide(p, p->nodes.at[i]);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->nodes.len; i++) {
        Node *node = p->nodes.at[i];
        if (node->is_alias) {
            Tensor *base = plan_base(p, reshaped_read(p, node)->read.tensor);
            map_set(p->ctx->scratch, &p->alias_of, node->result, base);
            continue;
        }
        plan_rewrite_node(p->ctx, node, inline_read, p);
        if (!node->is_inlined) p->nodes.at[kept++] = node;
    }
    p->nodes.len = kept;
    drop_unused(p);
    plan_uses(p);
}
