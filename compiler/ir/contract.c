/* ir/contract.c: sums of products become contractions of two tensors.
 *
 * in:   equations in normal form
 * out:  a sum of a product whose factors each lack some of the indices (a matrix product, a
 * convolution) has factors that are reads, two of them: what else there is becomes an equation of
 * its own
 *
 * sum[i] max(x[b, i], 0) * w[u, i] makes the rectified x once, instead of once for each u. Of three
 * or more factors, pairs are multiplied first in the order that needs the fewest multiplications.
 * A mask `select(c, a*b, 0)` goes to a factor that has its indices, or is one. A mask that compares
 * data (`t[i] == v`, the gradient of a gather) stays where it is: the planner scatters there.
 */
#include "ir/passes.h"

enum { MAX_FACTORS = 16, MAX_SPACE = 64, EXHAUSTIVE = 5, MAX_MASK = 1 << 20 };

typedef uint64_t Set; /* of positions in Product.space */

typedef struct Factor {
    const Expr *e;
    Set uses;
} Factor;

typedef struct Product {
    Ctx *ctx;
    Module *m;
    Equation *equation;
    Index *space[MAX_SPACE]; /* the free indices, then the bound ones */
    uint32_t nspace, nfree;
    Factor factors[MAX_FACTORS], masks[MAX_FACTORS];
    uint32_t nfactors, nmasks;
    const Expr *outside, *scale; /* masks and factors without bound indices */
    bool fits;                   /* nothing was too large or of the wrong kind */
} Product;

static Set uses_of(const Product *p, const Expr *e) {
    Indices used = ir_free_of(p->ctx, e);
    Set set = 0;
    for (uint32_t i = 0; i < used.len; i++)
        for (uint32_t k = 0; k < p->nspace; k++)
            if (p->space[k] == used.at[i]) set |= (Set)1 << k;
    return set;
}

static Set bound_of(const Product *p, Set set) {
    return p->nfree == MAX_SPACE ? 0 : set >> p->nfree << p->nfree;
}

static Indices indices_of(const Product *p, Set set) {
    Indices list = {0};
    for (uint32_t k = 0; k < p->nspace; k++)
        if (set >> k & 1) vec_push(p->ctx->arena, &list, p->space[k]);
    return list;
}

static double size_of(const Product *p, Set set) {
    double size = 1;
    for (uint32_t k = 0; k < p->nspace; k++)
        if (set >> k & 1)
            size *= p->space[k]->extent == EXTENT_BATCH ? (double)p->m->max_batch
                                                        : (double)p->space[k]->extent;
    return size;
}

/* ---- taking apart ---- */

static void look_for_class(void *data, const Expr *e) {
    if (e->kind == EX_READ && e->type == TY_INT) *(bool *)data = true;
}

typedef struct Comparison {
    Ctx *ctx;
    bool of_data;
} Comparison;

static void look_for_comparison(void *data, const Expr *e) {
    Comparison *c = data;
    if (e->kind != EX_OP || e->op.op != OP_EQ) return;
    for (uint32_t i = 0; i < 2; i++) ir_visit(c->ctx, e->op.args[i], look_for_class, &c->of_data);
}

static bool compares_data(Ctx *ctx, const Expr *condition) {
    Comparison c = {ctx, false};
    ir_visit(ctx, condition, look_for_comparison, &c);
    return c.of_data;
}

static void add_factor(Product *p, const Expr *e) {
    if (p->nfactors == MAX_FACTORS)
        p->fits = false;
    else
        p->factors[p->nfactors++] = (Factor){e, uses_of(p, e)};
}

static void add_mask(Product *p, const Expr *condition) {
    if (compares_data(p->ctx, condition) || p->nmasks == MAX_FACTORS) {
        p->fits = false;
        return;
    }
    if (condition->kind == EX_OP && condition->op.op == OP_AND) {
        add_mask(p, condition->op.args[0]);
        add_mask(p, condition->op.args[1]);
        return;
    }
    condition = ir_protect(p->ctx, condition);
    p->masks[p->nmasks++] = (Factor){condition, uses_of(p, condition)};
}

static void take_apart(Product *p, const Expr *e) {
    Ctx *ctx = p->ctx;
    if (!p->fits) return;
    if (e->kind == EX_OP && e->op.op == OP_MUL) {
        take_apart(p, e->op.args[0]);
        take_apart(p, e->op.args[1]);
    } else if (e->kind == EX_OP && e->op.op == OP_NEG) {
        add_factor(p, ir_number(ctx, -1));
        take_apart(p, e->op.args[0]);
    } else if (e->kind == EX_OP && e->op.op == OP_DIV) {
        take_apart(p, e->op.args[0]);
        add_factor(p, ir_div(ctx, ir_number(ctx, 1), e->op.args[1]));
    } else if (e->kind == EX_OP && e->op.op == OP_SELECT && ir_is_number(e->op.args[2], 0)) {
        add_mask(p, e->op.args[0]);
        take_apart(p, e->op.args[1]);
    } else if (e->kind == EX_OP && e->op.op == OP_SELECT && ir_is_number(e->op.args[1], 0)) {
        add_mask(p, ir_op1(ctx, OP_NOT, e->op.args[0]));
        take_apart(p, e->op.args[2]);
    } else
        add_factor(p, e);
}

/* What does not depend on the bound indices stays in front of the sum. */
static void move_out(Product *p) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->nfactors; i++) {
        if (bound_of(p, p->factors[i].uses) == 0)
            p->scale = ir_mul(p->ctx, p->scale, p->factors[i].e);
        else
            p->factors[kept++] = p->factors[i];
    }
    p->nfactors = kept;
}

static void look_for_infinite(void *data, const Expr *e) {
    if (ir_has_infinite_slope(e)) *(bool *)data = true;
}

/* Masks without bound indices stay in front of the sum, unless that would leave factors with
 * infinite slopes to an adjoint that is zero. The others go to the smallest factor that has all
 * their indices; masks that none has are factors. */
static void place_masks(Product *p) {
    Ctx *ctx = p->ctx;
    const Expr *zero = ir_number(ctx, 0);
    bool infinite = false;
    for (uint32_t k = 0; k < p->nfactors; k++)
        ir_visit(ctx, p->factors[k].e, look_for_infinite, &infinite);
    for (uint32_t i = 0; i < p->nmasks; i++) {
        if (bound_of(p, p->masks[i].uses) == 0 && !infinite) {
            p->outside = ir_op2(ctx, OP_AND, p->outside, p->masks[i].e);
            continue;
        }
        Factor *mask = &p->masks[i], *home = NULL;
        for (uint32_t k = 0; k < p->nfactors; k++) {
            Factor *f = &p->factors[k];
            if (mask->uses & ~f->uses) continue;
            if (!home || size_of(p, f->uses) < size_of(p, home->uses)) home = f;
        }
        if (home)
            home->e = ir_select(ctx, mask->e, home->e, zero);
        else if (size_of(p, mask->uses) > MAX_MASK)
            p->fits = false;
        else
            add_factor(p, ir_select(ctx, mask->e, ir_number(ctx, 1), zero));
    }
    if (p->nmasks == 0 && p->outside->kind == EX_TRUTH) return;
    p->scale = ir_protect(ctx, p->scale);
    for (uint32_t k = 0; k < p->nfactors; k++) p->factors[k].e = ir_protect(ctx, p->factors[k].e);
}

/* ---- the order of pairs ---- */

static Set all_uses(const Factor *factors, uint32_t n) {
    Set all = 0;
    for (uint32_t i = 0; i < n; i++) all |= factors[i].uses;
    return all;
}

/* The indices that remain when factors a and b are multiplied and what only they have is summed. */
static Set pair_keeps(const Product *p, const Factor *factors, uint32_t n, uint32_t a, uint32_t b) {
    Set both = factors[a].uses | factors[b].uses, others = 0;
    for (uint32_t i = 0; i < n; i++)
        if (i != a && i != b) others |= factors[i].uses;
    return both & ~(bound_of(p, both) & ~others);
}

static uint32_t join(Factor *factors, uint32_t n, uint32_t a, uint32_t b, Factor pair) {
    factors[a] = pair;
    factors[b] = factors[n - 1];
    return n - 1;
}

/* Multiplications in the best order, which starts with the pair (*first, *second); a < b. */
static double best_pair(const Product *p, const Factor *factors, uint32_t n, uint32_t *first,
                        uint32_t *second) {
    double best = -1;
    for (uint32_t a = 0; a + 1 < n; a++)
        for (uint32_t b = a + 1; b < n; b++) {
            double cost = size_of(p, factors[a].uses | factors[b].uses);
            if (n > 2 && n <= EXHAUSTIVE) {
                Factor rest[EXHAUSTIVE];
                uint32_t x, y;
                memcpy(rest, factors, n * sizeof *rest);
                Factor pair = {NULL, pair_keeps(p, factors, n, a, b)};
                cost += best_pair(p, rest, join(rest, n, a, b, pair), &x, &y);
            }
            if (best >= 0 && cost >= best) continue;
            best = cost;
            *first = a;
            *second = b;
        }
    return best;
}

/* ---- tensors for factors ---- */

/* The read of a factor through which alone it depends on its indices: max(x[c, i + u], 0) is then a
 * function of x's elements, and need not be made for every (i, u). */
typedef struct Through {
    Ctx *ctx;
    const Expr *read;
    Index **at; /* fresh indices of its dimensions */
    bool outside;
} Through;

static bool reads_alike(const Expr *a, const Expr *b) {
    if (a->read.tensor->rank != b->read.tensor->rank) return false;
    for (uint32_t d = 0; d < a->read.tensor->rank; d++)
        if (a->read.subs[d] != b->read.subs[d] ||
            a->read.tensor->dims[d] != b->read.tensor->dims[d])
            return false;
    return true;
}

static const Expr *replace_alike(void *data, const Expr *e) {
    Through *t = data;
    if (e->kind != EX_READ || !reads_alike(e, t->read)) return NULL;
    if (t->outside) return e->read.otherwise;
    return ir_read_at(t->ctx, e->read.tensor, t->at);
}

static void find_widest(void *data, const Expr *e) {
    const Expr **widest = data;
    if (e->kind == EX_READ && (!*widest || e->read.tensor->rank > (*widest)->read.tensor->rank))
        *widest = e;
}

static const Expr *materialise_through(Product *p, const Factor *factor) {
    Ctx *ctx = p->ctx;
    Through t = {.ctx = ctx};
    ir_visit(ctx, factor->e, find_widest, &t.read);
    if (!t.read) return NULL;
    Tensor *source = t.read->read.tensor;
    if ((double)tensor_elements(source, p->m->max_batch) >= size_of(p, factor->uses)) return NULL;
    t.at = ir_free_indices(ctx, source, NULL);
    const Expr *inside = ir_rewrite_reads(ctx, factor->e, replace_alike, &t);
    if (uses_of(p, inside)) return NULL;
    const Expr *otherwise = NULL;
    if (t.read->read.otherwise) {
        t.outside = true;
        otherwise = ir_rewrite_reads(ctx, factor->e, replace_alike, &t);
        if (otherwise->kind != EX_NUMBER) return NULL;
    }
    Tensor *made =
        ir_tensor(ctx, p->m, TENSOR_LOCAL, sym_printf(ctx, "%s.factor", p->equation->result->name),
                  source->rank, source->dims, 0, p->equation->span);
    ir_define(ctx, p->m, made, t.at, inside, p->equation->span);
    return ir_read(ctx, made, t.read->read.subs, otherwise);
}

/* False when it has two batch indices. */
static bool make_read(Product *p, Factor *factor) {
    if (factor->e->kind == EX_READ) return true;
    const Expr *read = materialise_through(p, factor);
    if (!read)
        read = ir_materialise(p->ctx, p->m, p->equation, "factor", indices_of(p, factor->uses),
                              factor->e);
    if (read) factor->e = read;
    return read != NULL;
}

static const Expr *product_of_all(Product *p) {
    const Expr *product = p->factors[0].e;
    for (uint32_t i = 1; i < p->nfactors; i++) product = ir_mul(p->ctx, product, p->factors[i].e);
    Indices over = indices_of(p, bound_of(p, all_uses(p->factors, p->nfactors)));
    return ir_reduce(p->ctx, REDUCE_SUM, over.at, over.len, product);
}

/* The product of two factors, summed over `summed`; NULL when one cannot become a tensor. */
static const Expr *pair_of(Product *p, Factor *a, Factor *b, Set summed) {
    Set both = a->uses | b->uses;
    if (a->uses != both && b->uses != both && (!make_read(p, a) || !make_read(p, b))) return NULL;
    Indices over = indices_of(p, summed);
    return ir_reduce(p->ctx, REDUCE_SUM, over.at, over.len, ir_mul(p->ctx, a->e, b->e));
}

/* Multiplies a and b; an intermediate sum becomes a tensor. */
static bool multiply_pair(Product *p, uint32_t a, uint32_t b) {
    Factor *x = &p->factors[a], *y = &p->factors[b];
    Set keeps = pair_keeps(p, p->factors, p->nfactors, a, b);
    Set summed = (x->uses | y->uses) & ~keeps;
    Factor pair = {NULL, keeps};
    if (!summed)
        pair.e = ir_mul(p->ctx, x->e, y->e);
    else {
        pair.e = pair_of(p, x, y, summed);
        if (pair.e && ir_is_reduction(pair.e))
            pair.e =
                ir_materialise(p->ctx, p->m, p->equation, "pair", indices_of(p, keeps), pair.e);
    }
    if (!pair.e) return false;
    p->nfactors = join(p->factors, p->nfactors, a, b, pair);
    return true;
}

/* ---- one equation ---- */

typedef struct Steps {
    Product *p;
    uint32_t group;
    bool vary;
} Steps;

static void look_at_step(void *data, const Expr *e) {
    Steps *s = data;
    if (e->kind != EX_READ) return;
    const Equation *own = s->p->equation;
    const Equation *definition = ir_definition(s->p->m, e->read.tensor);
    if (!definition || definition->scan.group != s->group) return;
    const Expr *now = ir_index_value(s->p->ctx, own->free[own->scan.dim]);
    const Expr *back = ir_int_sub(s->p->ctx, e->read.subs[definition->scan.dim], now);
    int64_t constant;
    if (!ir_is_constant_int(back, &constant)) s->vary = true;
}

/* A recurrence that reads steps chosen by a bound index relies on its mask to read earlier ones. */
static bool reads_varying_steps(Product *p, const Expr *body) {
    Steps s = {p, p->equation->scan.group, false};
    if (s.group) ir_visit(p->ctx, body, look_at_step, &s);
    return s.vary;
}

/* Like a product of matrices: no factor has all the indices. */
static bool is_like_matrices(const Product *p) {
    Set all = all_uses(p->factors, p->nfactors);
    for (uint32_t i = 0; i < p->nfactors; i++)
        if (p->factors[i].uses == all) return false;
    return p->nfactors >= 2;
}

/* Takes the sum apart. False when it stays as it is. */
static bool prepare(Product *p, const Expr *e) {
    Index *const *over = e->kind == EX_REDUCE ? e->reduce.over : e->contract.over;
    uint32_t nover = e->kind == EX_REDUCE ? e->reduce.nover : e->contract.nover;
    p->nfree = p->equation->result->rank;
    if (p->nfree + nover > MAX_SPACE) return false;
    for (uint32_t i = 0; i < p->nfree; i++) p->space[p->nspace++] = p->equation->free[i];
    for (uint32_t i = 0; i < nover; i++) p->space[p->nspace++] = over[i];
    p->fits = true;
    p->outside = ir_truth(p->ctx, true);
    p->scale = ir_number(p->ctx, 1);
    if (e->kind == EX_REDUCE) {
        if (reads_varying_steps(p, e->reduce.body)) return false;
        take_apart(p, e->reduce.body);
    } else if (e->contract.nfactors == 2)
        return false;
    else
        for (uint32_t i = 0; i < e->contract.nfactors; i++) add_factor(p, e->contract.factors[i]);
    if (!p->fits) return false;
    move_out(p);
    place_masks(p);
    if (!p->fits) return false;
    return is_like_matrices(p) || (p->outside->kind != EX_TRUTH && p->nfactors > 0);
}

/* The sum goes into a tensor of its own when a mask or a number stays in front of it. */
static void finish(Product *p, const Expr *sum) {
    Ctx *ctx = p->ctx;
    bool alone = p->outside->kind == EX_TRUTH && ir_is_number(p->scale, 1);
    if (!alone && ir_is_reduction(sum)) {
        const Expr *read = ir_materialise(ctx, p->m, p->equation, "sum", ir_free_of(ctx, sum), sum);
        if (!read) return;
        sum = read;
    }
    sum = ir_mul(ctx, p->scale, sum);
    p->equation->body = ir_select(ctx, p->outside, sum, ir_number(ctx, 0));
}

static void make_contraction(Ctx *ctx, Module *m, Equation *equation) {
    const Expr *e = equation->body;
    bool sum = e->kind == EX_CONTRACT || (e->kind == EX_REDUCE && e->reduce.op == REDUCE_SUM);
    if (!sum) return;
    Product p = {.ctx = ctx, .m = m, .equation = equation};
    if (!prepare(&p, e)) return;
    bool pairs = is_like_matrices(&p);
    while (pairs && p.nfactors > 2) {
        uint32_t a = 0, b = 1;
        best_pair(&p, p.factors, p.nfactors, &a, &b);
        if (!multiply_pair(&p, a, b)) return;
    }
    Set bound = bound_of(&p, all_uses(p.factors, p.nfactors));
    const Expr *product =
        pairs ? pair_of(&p, &p.factors[0], &p.factors[1], bound) : product_of_all(&p);
    if (product) finish(&p, product);
}

void ir_make_contractions(Ctx *ctx, Module *m) {
    for (uint32_t i = 0; i < m->equations.len; i++) make_contraction(ctx, m, m->equations.at[i]);
}
