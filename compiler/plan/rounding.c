/* plan/rounding.c: which tensors lie in memory as bf16.
 *
 * in:   drafts whose kinds are known      out: Function.rounded
 *
 * What a contraction in pairs reads it rounds anyway: a tensor inside of the function that is read
 * so is rounded when it is written. It takes half the memory, and nobody has to pack or copy it as
 * reals. Other values and gradients of each example are rounded where they are more than the nearer
 * caches hold: there, half the bytes are nearly half the time. What others give or take,
 * parameters, states, what is summed up in memory, sums that are not of products (the statistics of
 * a norm), recurrences, and what lives for a turn of a nest stay reals.
 */
#include "plan/private.h"

enum { LEAST_REUSE = 8 }; /* of an element, in a contraction that may be one in pairs */

/* The node that writes the memory; NULL where it must not be rounded. */
static const Node *roundable(const Planner *p, Tensor *base) {
    const Node *node = map_get(&p->node_of, base);
    if (!node || !node->in_memory || node->is_root || node->target || node->before) return NULL;
    if (base->classes || map_get(&p->target_of, base)) return NULL;
    if (node->draft->kernel->kind == KERNEL_SCATTER) return NULL;
    for (uint32_t i = 0; i < p->alias_of.len; i++) {
        if (p->alias_of.entries[i].value != base) continue;
        const Node *alias = map_get(&p->node_of, p->alias_of.entries[i].key);
        if (alias && (alias->is_pinned || alias->is_root)) return NULL;
    }
    return node;
}

/* It and all that lies in its memory. */
static void set_rounded(Planner *p, Tensor *base) {
    map_set(p->ctx->arena, &p->f->rounded, base, p);
    for (uint32_t i = 0; i < p->alias_of.len; i++)
        if (p->alias_of.entries[i].value == base)
            map_set(p->ctx->arena, &p->f->rounded, p->alias_of.entries[i].key, p);
}

static void round_tensor(Planner *p, Tensor *base) {
    if (roundable(p, base)) set_rounded(p, base);
}

/* New values that overwrite what is rounded. */
static void round_new_values(Planner *p) {
    for (uint32_t i = 0; i < p->in_place.len; i++)
        if (plan_is_rounded(p->f, p->in_place.entries[i].value))
            set_rounded(p, (Tensor *)p->in_place.entries[i].key);
}

/* A copy of what is rounded, in another order, loses nothing. */
static void round_copies(Planner *p) {
    for (uint32_t i = 0; i < p->nodes.len; i++) {
        const Node *node = p->nodes.at[i];
        if (node->reduces || !node->body || node->body->kind != EX_READ) continue;
        const Expr *read = node->body;
        if (!read->read.otherwise && plan_is_rounded(p->f, plan_base(p, read->read.tensor)))
            round_tensor(p, plan_base(p, node->result));
    }
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
        round_tensor(p, plan_base(p, draft->kernel->roles.a->read.tensor));
        round_tensor(p, plan_base(p, draft->kernel->roles.b->read.tensor));
    }
}

/* More than stays in the nearer caches until it is read? */
static bool is_large(const Planner *p, const Node *node) {
    int64_t bytes = tensor_elements(node->result, p->m->max_batch) * p->real_bytes;
    return 2 * bytes >= p->options->l2_bytes;
}

static void round_large(Planner *p) {
    for (uint32_t i = 0; i < p->nodes.len; i++) {
        const Node *node = p->nodes.at[i];
        if (node->is_alias || node->is_of_turn || node->scan.group || !is_large(p, node)) continue;
        if (map_has(&p->in_place, node->result)) continue; /* the zero of what is summed up */
        if (node->reduces && !node->nfactors) continue;
        if (node->result->dims[0] == EXTENT_BATCH) round_tensor(p, node->result);
    }
}

void plan_rounding(Planner *p) {
    round_new_values(p);
    if (p->options->bf16 && p->options->pairs) round_drafts(p, &p->drafts);
    if (p->options->bf16 && p->options->pairs) round_large(p);
    if (p->options->bf16) round_copies(p);
}

/* ---- parameters ------------------------------------------------------------------------------ */

typedef struct Reader {
    Ctx *ctx;
    Map factors, others; /* Tensor*, as sets: read as a factor of a contraction, or otherwise */
} Reader;

static void note_other(void *data, const Expr *e) {
    Reader *reader = data;
    if (e->kind == EX_READ) map_set(reader->ctx->scratch, &reader->others, e->read.tensor, reader);
}

static void note_body(Reader *reader, const Expr *body) {
    Ctx *ctx = reader->ctx;
    if (body->kind != EX_CONTRACT) {
        ir_visit(ctx, body, note_other, reader);
        return;
    }
    for (uint32_t f = 0; f < body->contract.nfactors; f++) {
        const Expr *read = body->contract.factors[f];
        map_set(ctx->scratch, &reader->factors, read->read.tensor, reader);
        for (uint32_t d = 0; d < read->read.tensor->rank; d++)
            ir_visit(ctx, read->read.subs[d], note_other, reader);
    }
}

Map plan_rounded_params(Ctx *ctx, const Module *m) {
    Reader reader = {.ctx = ctx};
    Map rounded = {0};
    for (uint32_t i = 0; i < m->equations.len; i++) note_body(&reader, m->equations.at[i]->body);
    for (uint32_t i = 0; i < reader.factors.len; i++) {
        const Tensor *tensor = reader.factors.entries[i].key;
        if (tensor->kind == TENSOR_PARAM && !map_has(&reader.others, tensor))
            map_set(ctx->arena, &rounded, tensor, ctx);
    }
    return rounded;
}
