/* plan/rounding.c: which tensors lie in memory as bf16.
 *
 * in:   drafts whose kinds are known      out: Function.rounded
 *
 * What a contraction in pairs reads it rounds anyway: a tensor inside of the function that is read
 * so is rounded when it is written. It takes half the memory, and nobody has to pack or copy it as
 * reals. What others give or take, parameters, states, and what is summed up in memory stay reals.
 */
#include "plan/private.h"

enum { LEAST_REUSE = 8 }; /* of an element, in a contraction that may be one in pairs */

/* The node that writes the memory; NULL where it must not be rounded. */
static const Node *roundable(const Planner *p, Tensor *base) {
    const Node *node = map_get(&p->node_of, base);
    if (!node || !node->in_memory || node->is_root || node->target) return NULL;
    if (base->classes || map_get(&p->target_of, base)) return NULL;
    if (node->draft->kernel->kind == KERNEL_SCATTER) return NULL;
    for (uint32_t i = 0; i < p->alias_of.len; i++) {
        if (p->alias_of.entries[i].value != base) continue;
        const Node *alias = map_get(&p->node_of, p->alias_of.entries[i].key);
        if (alias && (alias->is_pinned || alias->is_root)) return NULL;
    }
    return node;
}

static void round_operand(Planner *p, const Expr *read) {
    Tensor *base = plan_base(p, read->read.tensor);
    if (!roundable(p, base)) return;
    map_set(p->ctx->arena, &p->f->rounded, base, p);
    for (uint32_t i = 0; i < p->alias_of.len; i++)
        if (p->alias_of.entries[i].value == base)
            map_set(p->ctx->arena, &p->f->rounded, p->alias_of.entries[i].key, p);
}

static bool may_pair(const Planner *p, const Kernel *k) {
    const Roles *r = &k->roles;
    return k->kind == KERNEL_CONTRACT && plan_is_plain(r->a) && plan_is_plain(r->b) &&
           plan_points(p, r->m, r->nm) >= LEAST_REUSE &&
           plan_points(p, r->n, r->nn) >= LEAST_REUSE &&
           plan_points(p, k->over, k->nover) >= LEAST_REUSE;
}

static void round_drafts(Planner *p, const Drafts *drafts) {
    for (uint32_t i = 0; i < drafts->all.len; i++) {
        const Draft *draft = drafts->all.at[i];
        if (draft->steps) round_drafts(p, draft->steps);
        if (!may_pair(p, draft->kernel)) continue;
        round_operand(p, draft->kernel->roles.a);
        round_operand(p, draft->kernel->roles.b);
    }
}

void plan_rounding(Planner *p) {
    if (p->options->bf16 && p->options->pairs) round_drafts(p, &p->drafts);
}
