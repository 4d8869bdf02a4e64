/* plan/schedule.c: the kind of a kernel, the roles of its indices, and which of them is vectorised.
 *
 * in:   a kernel whose free indices are known      out: kind, reduction, roles; later the vector
 *
 * A sum of a product of two unguarded affine reads is a contraction. A sum of values that are kept
 * only where a free index equals a number, `sum[i] if t[i] == v then g[i] else 0`, scatters: it
 * goes once over i instead of once for each v.
 */
#include "plan/private.h"

/* ---- contractions -----------------------------------------------------------------------------
 */

/* Can the generator of contractions read it? Its address is a sum of indices, and never outside. */
static bool is_operand(Planner *p, const Expr *read) {
    if (read->kind != EX_READ || read->type != TY_REAL || read->read.otherwise) return false;
    for (uint32_t d = 0; d < read->read.tensor->rank; d++)
        if (!ir_inside(p->ctx, read->read.subs[d], read->read.tensor->dims[d], NULL, 0))
            return false;
    const Expr *address = plan_address(p, read->read.tensor, read->read.subs);
    for (uint32_t t = 0; t < address->affine.nterms; t++)
        if (address->affine.terms[t].atom->kind != EX_INDEX) return false;
    return true;
}

static void set_roles(Planner *p, Kernel *k, const Expr *a, const Expr *b) {
    Roles *r = &k->roles;
    Arena *arena = p->ctx->arena;
    *r = (Roles){.a = a, .b = b, .k = k->over, .nk = k->nover};
    r->batch = ARENA_ARRAY(arena, Index *, k->nfree + 1);
    r->m = ARENA_ARRAY(arena, Index *, k->nfree + 1);
    r->n = ARENA_ARRAY(arena, Index *, k->nfree + 1);
    for (uint32_t i = 0; i < k->nfree; i++) {
        Index *index = k->free[i];
        bool in_a = ir_uses_index(a, index), in_b = ir_uses_index(b, index);
        if (in_a && in_b)
            r->batch[r->nbatch++] = index;
        else if (in_b)
            r->n[r->nn++] = index;
        else
            r->m[r->nm++] = index;
    }
}

static bool set_contraction(Planner *p, Kernel *k, const Node *node) {
    if (node->nfactors != 2) return false;
    if (!is_operand(p, node->factors[0]) || !is_operand(p, node->factors[1])) return false;
    set_roles(p, k, node->factors[0], node->factors[1]);
    double tiled =
        plan_points(p, k->roles.m, k->roles.nm) * plan_points(p, k->roles.n, k->roles.nn);
    if (tiled > 1) {
        k->kind = KERNEL_CONTRACT;
        return true;
    }
    k->roles = (Roles){0}; /* nothing is used twice: a plain sum */
    return false;
}

/* ---- scatters ---------------------------------------------------------------------------------
 */

typedef struct Scatter {
    Planner *p;
    Kernel *k;
    const Node *node;
    Index *index; /* the free index that must equal `row` */
    const Expr *row;
    const Expr *others; /* the other conditions */
} Scatter;

/* a == b as index == row? */
static bool solve_equality(Scatter *s, const Expr *equality) {
    Ctx *ctx = s->p->ctx;
    if (equality->kind != EX_OP || equality->op.op != OP_EQ) return false;
    if (equality->op.args[0]->type != TY_INT) return false;
    const Expr *difference = ir_int_sub(ctx, equality->op.args[0], equality->op.args[1]);
    for (uint32_t t = 0; t < difference->affine.nterms; t++) {
        const Term *term = &difference->affine.terms[t];
        if (term->atom->kind != EX_INDEX || term->atom->index->extent < 2) continue;
        if (term->coefficient != 1 && term->coefficient != -1) continue;
        Index *index = term->atom->index;
        bool is_free = false;
        for (uint32_t i = 0; i < s->k->nfree; i++) is_free |= s->k->free[i] == index;
        if (!is_free) continue;
        const Expr *value = ir_int_scale(ctx, ir_index_value(ctx, index), term->coefficient);
        const Expr *rest = ir_int_sub(ctx, difference, value);
        if (ir_uses_index(rest, index)) continue;
        s->index = index;
        s->row = ir_int_scale(ctx, rest, -term->coefficient);
        return true;
    }
    return false;
}

static void look_at_condition(Scatter *s, const Expr *condition) {
    if (condition->kind == EX_OP && condition->op.op == OP_AND) {
        look_at_condition(s, condition->op.args[0]);
        look_at_condition(s, condition->op.args[1]);
    } else if (s->index || !solve_equality(s, condition)) {
        s->others = ir_op2(s->p->ctx, OP_AND, s->others, condition);
    }
}

static bool set_scatter(Planner *p, Kernel *k, const Node *node) {
    Ctx *ctx = p->ctx;
    const Expr *e = k->body, *zero = ir_number(ctx, 0);
    if (k->op != REDUCE_SUM || e->kind != EX_OP || e->op.op != OP_SELECT) return false;
    Scatter s = {.p = p, .k = k, .node = node, .others = ir_truth(ctx, true)};
    const Expr *value = e->op.args[1];
    if (e->op.args[2] == zero) {
        look_at_condition(&s, e->op.args[0]);
    } else if (e->op.args[1] == zero) {
        look_at_condition(&s, ir_op1(ctx, OP_NOT, e->op.args[0]));
        value = e->op.args[2];
    }
    if (!s.index) return false;
    k->kind = KERNEL_SCATTER;
    k->row = s.row;
    k->body = ir_select(ctx, s.others, value, zero);
    for (uint32_t d = 0; d < node->result->rank; d++)
        if (node->at[d] == s.index) k->scatter_dim = d;
    return true;
}

/* ---- the kind ---------------------------------------------------------------------------------
 */

static Tensor *accumulator(Planner *p, const Kernel *k, const Node *node) {
    int64_t *dims = ARENA_ARRAY(p->ctx->arena, int64_t, k->nfree + 1);
    for (uint32_t i = 0; i < k->nfree; i++) dims[i] = k->free[i]->extent;
    Tensor *acc = plan_tensor(p, "acc", k->nfree, dims, node->result->classes, node->span);
    acc->name = sym(p->ctx, "acc");
    return acc;
}

void plan_accumulator(Planner *p, Kernel *k, Node *node) {
    Tensor *acc = accumulator(p, k, node);
    if (k->acc == node->acc) k->acc = acc;
    for (uint32_t i = 0; i < k->nalso; i++)
        if (k->also[i].acc == node->acc) k->also[i].acc = acc;
    node->acc = acc;
}

void plan_kind(Planner *p, Kernel *k, Node *node) {
    k->op = node->op;
    k->over = node->over;
    k->nover = node->nover;
    k->body = node->body;
    k->acc = node->acc = accumulator(p, k, node);
    if (!k->body) k->body = node->factors[0];
    for (uint32_t f = 1; f < node->nfactors; f++)
        k->body = ir_mul(p->ctx, k->body, node->factors[f]);
    k->body = ir_real(p->ctx, k->body);
    k->kind = KERNEL_REDUCE;
    if (!set_contraction(p, k, node)) set_scatter(p, k, node);
}

bool plan_reads_once(const Kernel *k) {
    return k->kind == KERNEL_CONTRACT && (k->roles.nm == 0 || k->roles.nn == 0);
}

/* ---- vectors ----------------------------------------------------------------------------------
 */

/* What one evaluation of some expressions does. */
typedef struct Work {
    Planner *p;
    const Kernel *k;
    double arithmetic;
    struct {
        Vec(const Expr *) all; /* addresses */
    } loads, stores;
} Work;

static bool is_stored(const Kernel *k, const Tensor *tensor) {
    for (uint32_t i = 0; i < k->nstores; i++)
        if (k->stores[i].tensor == tensor) return true;
    return plan_accumulates(k, tensor);
}

static void add_load(Work *work, const Expr *e) {
    if (is_stored(work->k, e->read.tensor)) return;
    const Expr *address = plan_address(work->p, e->read.tensor, e->read.subs);
    vec_push(work->p->ctx->scratch, &work->loads.all, address);
}

static void add_expression(Work *work, const Expr *e) {
    work->arithmetic += plan_cost(work->p->ctx, e);
    const Reads *reads = ir_reads(work->p->ctx, e);
    for (uint32_t i = 0; i < reads->len; i++) add_load(work, reads->at[i]);
}

static void add_stores(Work *work) {
    const Kernel *k = work->k;
    Ctx *ctx = work->p->ctx;
    for (uint32_t i = 0; i < k->nstores; i++) {
        const Expr *at = ir_read_at(ctx, k->stores[i].tensor, k->stores[i].at);
        const Expr *address = plan_address(work->p, k->stores[i].tensor, at->read.subs);
        vec_push(ctx->scratch, &work->stores.all, address);
        add_expression(work, k->stores[i].value);
    }
}

/* A load of a vector costs 1; a gather as much as that many loads. */
static double load_cost(const Planner *p, const Expr *address, const Index *along) {
    int64_t stride = plan_stride(address, along);
    if (stride == 0) return 0.5;
    if (stride == 1) return 1;
    if (stride == -1 || stride == 2) return 2;
    return (double)p->lanes;
}

static double store_cost(const Planner *p, const Expr *address, const Index *along) {
    return plan_stride(address, along) == 1 ? 1 : 1.5 * (double)p->lanes;
}

static double share_of_lanes(const Planner *p, Index *index) {
    return plan_share_used((int64_t)plan_points(p, &index, 1), p->lanes);
}

/* Of one evaluation; along NULL: scalar. */
static double work_cost(const Work *work, Index *along) {
    const Planner *p = work->p;
    if (!along)
        return work->arithmetic + (double)work->loads.all.len + (double)work->stores.all.len;
    double cost = work->arithmetic;
    for (uint32_t i = 0; i < work->loads.all.len; i++)
        cost += load_cost(p, work->loads.all.at[i], along);
    for (uint32_t i = 0; i < work->stores.all.len; i++)
        cost += store_cost(p, work->stores.all.at[i], along);
    return cost / ((double)p->lanes * share_of_lanes(p, along));
}

/* Of one element of the result. */
static double kernel_cost(const Kernel *k, const Work *inner, const Work *outer, Index *along) {
    double turns = plan_points(inner->p, k->over, k->nover);
    bool is_over = false;
    for (uint32_t i = 0; i < k->nover; i++) is_over |= k->over[i] == along;
    if (k->kind == KERNEL_MAP) return work_cost(outer, along);
    double cost = turns * work_cost(inner, along);
    if (k->kind == KERNEL_SCATTER) return cost + turns * work_cost(outer, along);
    if (!is_over) return cost + work_cost(outer, along);
    return cost + work_cost(outer, NULL) + 10; /* to add up the lanes */
}

static bool may_be_vector(const Kernel *k, const Index *index) {
    if (index->extent == 1) return false;
    if (k->kind != KERNEL_SCATTER) return true;
    return k->stores[0].at[k->scatter_dim] != index && !ir_uses_index(k->row, index);
}

static Index *cheapest_vector(Planner *p, const Kernel *k) {
    Work inner = {.p = p, .k = k}, outer = {.p = p, .k = k};
    if (k->body) add_expression(&inner, k->body);
    for (uint32_t i = 0; i < k->nalso; i++) add_expression(&inner, k->also[i].body);
    add_stores(&outer);
    Index *best = NULL;
    double best_cost = kernel_cost(k, &inner, &outer, NULL);
    uint32_t candidates = k->kind == KERNEL_REDUCE && !k->parts_of ? k->nover : 0;
    for (uint32_t i = k->nfree + candidates; i-- > 0;) {
        Index *index = i < k->nfree ? k->free[i] : k->over[i - k->nfree];
        if (!may_be_vector(k, index)) continue;
        double cost = kernel_cost(k, &inner, &outer, index);
        if (cost >= best_cost) continue;
        best_cost = cost;
        best = index;
    }
    return best;
}

/* ---- the vector of a contraction --------------------------------------------------------------
 */

int64_t plan_read_stride(Planner *p, const Expr *read, const Index *index) {
    return plan_stride(plan_address(p, read->read.tensor, read->read.subs), index);
}

/* How well the generator does with the index along the lanes: best when one operand and the result
 * are adjacent along it and the other operand does not vary. A result that is not adjacent is
 * stored lane by lane, once for the whole sum; an operand that is not, transposed, once for all
 * rows, and in a recurrence for all times. */
static double contract_value(Planner *p, const Kernel *k, Index *index) {
    int64_t a = plan_read_stride(p, k->roles.a, index), b = plan_read_stride(p, k->roles.b, index);
    double lanes = (double)p->lanes, sum = plan_points(p, k->over, k->nover);
    double rows =
        a ? plan_points(p, k->roles.n, k->roles.nn) : plan_points(p, k->roles.m, k->roles.nm);
    rows *= (double)plan_turns_kept(p, k, a ? k->roles.a : k->roles.b);
    const Store *store = &k->stores[0];
    int64_t c = plan_read_stride(p, ir_read_at(p->ctx, store->tensor, store->at), index);
    double value = share_of_lanes(p, index);
    if (c != 1) value *= 0.8 * sum / (sum + 2 * lanes);
    if (a != 0 && b != 0) return value * (a == 1 && b == 1 ? 0.5 : 0.1);
    int64_t stride = a ? a : b;
    return value * (stride == 1 ? 1 : stride == 0 ? 0.1 : rows / (rows + lanes / 2));
}

static Index *best_column(Planner *p, const Kernel *k) {
    Index *best = NULL;
    double best_value = 0;
    for (uint32_t i = k->nfree; i-- > 0;) {
        double value = contract_value(p, k, k->free[i]);
        if (k->free[i]->extent == 1 || value <= best_value) continue;
        best_value = value;
        best = k->free[i];
    }
    return best;
}

void plan_vector(Planner *p, Kernel *k) {
    k->vector = k->kind == KERNEL_CONTRACT ? best_column(p, k) : cheapest_vector(p, k);
}

/* ---- predictions ------------------------------------------------------------------------------
 */

/* Two multiply-adds of vectors a cycle, of pairs or not, and what is lost around them. */
static double contraction_cycles(Planner *p, const Kernel *k) {
    if (k->winograd.tile) return plan_winograd_cycles(p, k, &k->winograd);
    double points = plan_points(p, k->free, k->nfree) * plan_points(p, k->over, k->nover);
    if (k->blocking.pair) points /= 2;
    return 1.2 * points / (2.0 * (double)(k->vector ? p->lanes : 1));
}

/* The tensors that a kernel touches. */
typedef struct Touched {
    Planner *p;
    Map tensors; /* as a set */
    double bytes;
} Touched;

static void touch(Touched *t, const Kernel *k, const Tensor *tensor) {
    if (plan_accumulates(k, tensor) || map_has(&t->tensors, tensor)) return;
    map_set(t->p->ctx->scratch, &t->tensors, tensor, t);
    double elements = (double)tensor_elements(tensor, t->p->m->max_batch);
    t->bytes += elements * (double)plan_element_bytes(t->p->f, tensor);
}

static void touch_expression(void *data, const Kernel *k, const Expr *e) {
    Touched *touched = data;
    const Reads *reads = ir_reads(touched->p->ctx, e);
    for (uint32_t i = 0; i < reads->len; i++) touch(touched, k, reads->at[i]->read.tensor);
}

/* All that is touched once from or to the outer caches. */
static double memory_cycles(Planner *p, const Kernel *k) {
    enum { BYTES_PER_CYCLE = 16 };
    Touched touched = {.p = p};
    plan_kernel_expressions(k, touch_expression, &touched);
    for (uint32_t i = 0; i < k->nstores; i++) {
        const Node *node = map_get(&p->node_of, k->stores[i].tensor);
        if (!node || node->in_memory) touch(&touched, k, k->stores[i].tensor);
    }
    return touched.bytes / BYTES_PER_CYCLE;
}

void plan_cycles(Planner *p, Kernel *k) {
    Work inner = {.p = p, .k = k}, outer = {.p = p, .k = k};
    k->cycles = 0;
    double turns = k->time ? (double)k->time->extent : 1;
    if (k->kind == KERNEL_NEST) turns = plan_points(p, k->free, k->nfree - (k->block > 0));
    for (uint32_t i = 0; i < k->nsteps; i++) {
        plan_cycles(p, k->steps[i]);
        k->cycles += k->steps[i]->cycles * turns;
    }
    if (k->nsteps) return;
    if (k->body) add_expression(&inner, k->body);
    for (uint32_t i = 0; i < k->nalso; i++) add_expression(&inner, k->also[i].body);
    add_stores(&outer);
    double points = plan_points(p, k->free, k->nfree);
    if (k->kind == KERNEL_SCATTER) points /= (double)k->free[k->scatter_dim]->extent;
    if (k->kind == KERNEL_CONTRACT)
        k->cycles = contraction_cycles(p, k) + points * work_cost(&outer, k->vector);
    else
        k->cycles = points * kernel_cost(k, &inner, &outer, k->vector);
    k->cycles += memory_cycles(p, k);
}
