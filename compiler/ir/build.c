/* ir/build.c: modules, tensors, and the hash-consing constructors of expressions.
 *
 * Invariant: two expressions are equal exactly when they are the same pointer, and a child's id is
 * smaller than its parent's. ir_simplify_op (simplify.c) is asked before an operation is made.
 */
#include "ir/passes.h"
#include "ir/private.h"

#include <stdlib.h>

IrContext *ir_context(Ctx *ctx) {
    if (!ctx->ir) ctx->ir = ARENA_NEW(ctx->arena, IrContext);
    return ctx->ir;
}

/* ---- hash-consing ------------------------------------------------------------------------ */

static uint32_t mix(uint32_t hash, uint64_t value) {
    uint64_t h = ((uint64_t)hash ^ value) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 29) ^ (uint32_t)h;
}

static uint32_t mix_number(uint32_t hash, double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return mix(hash, bits);
}

static uint32_t mix_over(uint32_t hash, Index *const *over, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) hash = mix(hash, over[i]->id);
    return mix(hash, n);
}

static uint32_t mix_exprs(uint32_t hash, const Expr *const *list, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) hash = mix(hash, list[i]->id);
    return hash;
}

/* What a node says of itself, apart from its parts and its indices. */
static uint32_t mix_own(uint32_t h, const Expr *e) {
    h = mix((uint32_t)e->kind * 31 + (uint32_t)e->type, h);
    switch (e->kind) {
    case EX_NUMBER: return mix_number(h, e->number);
    case EX_TRUTH: return mix(h, e->truth);
    case EX_AFFINE: return mix(h, (uint64_t)e->affine.offset);
    case EX_FLOORDIV:
    case EX_MOD: return mix(h, (uint64_t)e->div.den);
    case EX_OP: return mix(h, (uint64_t)e->op.op);
    case EX_READ: return mix(h, e->read.tensor->id);
    case EX_REDUCE: return mix(h, (uint64_t)e->reduce.op);
    case EX_DRAW: return mix(mix(h, (uint64_t)e->draw.kind), e->draw.site);
    case EX_INDEX:
    case EX_CONTRACT:
    case EX_REAL:
    case EX_STEP:
    case EX_BATCH: return h;
    }
    return h;
}

static uint32_t hash_of(const Expr *e) {
    uint32_t h = mix_own(17, e);
    switch (e->kind) {
    case EX_AFFINE:
        for (uint32_t i = 0; i < e->affine.nterms; i++)
            h = mix(mix(h, (uint64_t)e->affine.terms[i].coefficient), e->affine.terms[i].atom->id);
        return h;
    case EX_INDEX: return mix(h, e->index->id);
    case EX_FLOORDIV:
    case EX_MOD: return mix(h, e->div.num->id);
    case EX_REAL: return mix(h, e->integer->id);
    case EX_OP: return mix_exprs(h, e->op.args, e->op.nargs);
    case EX_READ:
        h = mix_exprs(h, e->read.subs, e->read.tensor->rank);
        return mix(h, e->read.otherwise ? e->read.otherwise->id + 1 : 0);
    case EX_REDUCE: return mix(mix_over(h, e->reduce.over, e->reduce.nover), e->reduce.body->id);
    case EX_CONTRACT:
        return mix_exprs(mix_over(h, e->contract.over, e->contract.nover), e->contract.factors,
                         e->contract.nfactors);
    case EX_DRAW: return mix(h, e->draw.counter->id);
    default: return h;
    }
}

/* ---- shapes ---- */

static void add_shape(void *data, const Expr *child) {
    *(uint32_t *)data += child->shape;
}

static void mix_shape(void *data, const Expr *child) {
    *(uint32_t *)data = mix(*(uint32_t *)data, child->shape);
}

static bool may_exchange(const Expr *e) {
    switch (e->kind) {
    case EX_AFFINE:
    case EX_CONTRACT: return true;
    case EX_OP:
        return e->op.op == OP_ADD || e->op.op == OP_MUL || e->op.op == OP_EQ || e->op.op == OP_NE ||
               e->op.op == OP_AND || e->op.op == OP_OR;
    default: return false;
    }
}

static uint32_t mix_extents(uint32_t hash, Index *const *over, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) hash = mix(hash, (uint64_t)over[i]->extent);
    return hash;
}

/* What the node adds to the shapes of its children. */
static uint32_t own_shape(const Expr *e) {
    uint32_t h = mix_own(19, e);
    switch (e->kind) {
    case EX_AFFINE:
        for (uint32_t i = 0; i < e->affine.nterms; i++)
            h += mix(e->affine.terms[i].atom->shape, (uint64_t)e->affine.terms[i].coefficient);
        return h;
    case EX_INDEX: return mix(h, (uint64_t)e->index->extent);
    case EX_REDUCE: return mix_extents(h, e->reduce.over, e->reduce.nover);
    case EX_CONTRACT: return mix_extents(h, e->contract.over, e->contract.nover);
    default: return h;
    }
}

/* ---- finding the one ---- */

static bool same_pointers(const void *a, const void *b, uint32_t n) {
    return n == 0 || memcmp(a, b, n * sizeof(void *)) == 0;
}

static bool same_terms(const Expr *a, const Expr *b) {
    for (uint32_t i = 0; i < a->affine.nterms; i++)
        if (a->affine.terms[i].coefficient != b->affine.terms[i].coefficient ||
            a->affine.terms[i].atom != b->affine.terms[i].atom)
            return false;
    return true;
}

static bool same(const Expr *a, const Expr *b) {
    if (a->kind != b->kind || a->type != b->type) return false;
    switch (a->kind) {
    case EX_NUMBER: return memcmp(&a->number, &b->number, sizeof a->number) == 0;
    case EX_TRUTH: return a->truth == b->truth;
    case EX_AFFINE:
        return a->affine.offset == b->affine.offset && a->affine.nterms == b->affine.nterms &&
               same_terms(a, b);
    case EX_INDEX: return a->index == b->index;
    case EX_FLOORDIV:
    case EX_MOD: return a->div.num == b->div.num && a->div.den == b->div.den;
    case EX_REAL: return a->integer == b->integer;
    case EX_OP: return a->op.op == b->op.op && same_pointers(a->op.args, b->op.args, a->op.nargs);
    case EX_READ:
        return a->read.tensor == b->read.tensor && a->read.otherwise == b->read.otherwise &&
               same_pointers(a->read.subs, b->read.subs, a->read.tensor->rank);
    case EX_REDUCE:
        return a->reduce.op == b->reduce.op && a->reduce.body == b->reduce.body &&
               a->reduce.nover == b->reduce.nover &&
               same_pointers(a->reduce.over, b->reduce.over, a->reduce.nover);
    case EX_CONTRACT:
        return a->contract.nover == b->contract.nover &&
               a->contract.nfactors == b->contract.nfactors &&
               same_pointers(a->contract.over, b->contract.over, a->contract.nover) &&
               same_pointers(a->contract.factors, b->contract.factors, a->contract.nfactors);
    case EX_DRAW:
        return a->draw.kind == b->draw.kind && a->draw.site == b->draw.site &&
               a->draw.counter == b->draw.counter;
    case EX_STEP:
    case EX_BATCH: return true;
    }
    return false;
}

static void grow_table(Ctx *ctx, IrContext *ir) {
    uint32_t n = ir->nslots ? ir->nslots * 2 : 1024;
    struct ExprSlot *slots = ARENA_ARRAY(ctx->arena, struct ExprSlot, n);
    for (uint32_t i = 0; i < ir->nslots; i++) {
        if (!ir->slots[i].e) continue;
        uint32_t slot = ir->slots[i].hash & (n - 1);
        while (slots[slot].e) slot = (slot + 1) & (n - 1);
        slots[slot] = ir->slots[i];
    }
    arena_drop(ctx->arena, ir->slots, ir->nslots * sizeof *slots);
    ir->slots = slots;
    ir->nslots = n;
}

/* How much of an Expr the node needs. */
static size_t own_bytes(const Expr *e) {
#define UP_TO(member) (offsetof(Expr, member) + sizeof(e->member))
    switch (e->kind) {
    case EX_NUMBER: return UP_TO(number);
    case EX_TRUTH: return UP_TO(truth);
    case EX_AFFINE: return UP_TO(affine);
    case EX_INDEX: return UP_TO(index);
    case EX_FLOORDIV:
    case EX_MOD: return UP_TO(div);
    case EX_REAL: return UP_TO(integer);
    case EX_OP: return offsetof(Expr, op.args) + e->op.nargs * sizeof(Expr *);
    case EX_READ: return UP_TO(read);
    case EX_REDUCE: return UP_TO(reduce);
    case EX_CONTRACT: return UP_TO(contract);
    case EX_DRAW: return UP_TO(draw);
    case EX_STEP:
    case EX_BATCH: return offsetof(Expr, number);
    }
#undef UP_TO
    return sizeof *e;
}

/* Copies a list behind the node, where the next one begins. */
static const void *keep(char **behind, const void *list, size_t bytes) {
    if (!bytes) return NULL;
    void *copy = memcpy(*behind, list, bytes);
    *behind += bytes;
    return copy;
}

/* A node of its own, with its lists behind it. */
static Expr *make_node(Ctx *ctx, const Expr *e) {
    size_t own = own_bytes(e), lists = 0;
    if (e->kind == EX_AFFINE) lists = e->affine.nterms * sizeof(Term);
    if (e->kind == EX_READ) lists = e->read.tensor->rank * sizeof(Expr *);
    if (e->kind == EX_REDUCE) lists = e->reduce.nover * sizeof(Index *);
    if (e->kind == EX_CONTRACT)
        lists = e->contract.nover * sizeof(Index *) + e->contract.nfactors * sizeof(Expr *);
    own = (own + sizeof(void *) - 1) / sizeof(void *) * sizeof(void *);
    char *node = arena_alloc(ctx->arena, own + lists), *behind = node + own;
    Expr copy = *e;
    if (e->kind == EX_AFFINE) copy.affine.terms = keep(&behind, e->affine.terms, lists);
    if (e->kind == EX_READ) copy.read.subs = (void *)keep(&behind, e->read.subs, lists);
    if (e->kind == EX_REDUCE) copy.reduce.over = (void *)keep(&behind, e->reduce.over, lists);
    if (e->kind == EX_CONTRACT) {
        copy.contract.over =
            (void *)keep(&behind, e->contract.over, e->contract.nover * sizeof(Index *));
        copy.contract.factors =
            (void *)keep(&behind, e->contract.factors, e->contract.nfactors * sizeof(Expr *));
    }
    memcpy(node, &copy, own);
    return (Expr *)node;
}

static void note_child(void *data, const Expr *child) {
    Expr *e = data;
    if (child->depth >= e->depth) e->depth = child->depth + 1;
    e->has |= child->has;
    e->indices |= child->indices;
}

/* What is known of a new expression by its children. */
static void note_tree(Expr *e) {
    e->depth = 1;
    e->has = 0;
    e->indices = 0;
    e->shape = own_shape(e);
    ir_each_child(e, note_child, e);
    ir_each_child(e, may_exchange(e) ? add_shape : mix_shape, &e->shape);
    if (e->kind == EX_INDEX) e->indices |= (uint64_t)1 << e->index->id % 64;
    if (e->kind == EX_READ) e->has |= HAS_READ;
    if (e->kind == EX_DRAW) e->has |= HAS_DRAW;
    if (ir_is_reduction(e)) e->has |= HAS_REDUCTION;
    if (e->kind != EX_OP || e->op.op != OP_SELECT) return;
    if (e->has & HAS_SELECT) e->has |= HAS_SELECT_IN_SELECT;
    e->has |= HAS_SELECT;
}

const Expr *ir_intern(Ctx *ctx, Expr prototype) {
    IrContext *ir = ir_context(ctx);
    ir->work++;
    if ((uint64_t)ir->len * 4 >= (uint64_t)ir->nslots * 3) grow_table(ctx, ir);
    uint32_t hash = hash_of(&prototype), slot = hash & (ir->nslots - 1);
    for (; ir->slots[slot].e; slot = (slot + 1) & (ir->nslots - 1))
        if (ir->slots[slot].hash == hash && same(ir->slots[slot].e, &prototype))
            return ir->slots[slot].e;
    prototype.id = ir->next_expr++;
    note_tree(&prototype);
    const Expr *e = make_node(ctx, &prototype);
    ir->slots[slot] = (struct ExprSlot){e, hash};
    ir->len++;
    return e;
}

/* ---- modules and tensors ------------------------------------------------------------------- */

Module *ir_module(Ctx *ctx, Sym name) {
    Module *m = ARENA_NEW(ctx->arena, Module);
    m->name = name;
    m->max_batch = 1;
    return m;
}

void ir_use_tensor(Ctx *ctx, Module *m, Tensor *tensor) {
    if (map_get(&m->names, tensor->name) == tensor) return;
    vec_push(ctx->arena, &m->tensors, tensor);
    map_set(ctx->arena, &m->names, tensor->name, tensor);
}

/* NAME, or NAME.2, NAME.3, … when it is taken. */
static Sym unique_name(Ctx *ctx, Module *m, Sym name) {
    if (!map_has(&m->names, name)) return name;
    uintptr_t number = (uintptr_t)map_get(&m->suffixes, name);
    if (number < 2) number = 2;
    Sym fresh = sym_printf(ctx, "%s.%u", name, (unsigned)number);
    while (map_has(&m->names, fresh)) fresh = sym_printf(ctx, "%s.%u", name, (unsigned)++number);
    map_set(ctx->arena, &m->suffixes, name, (void *)(number + 1));
    return fresh;
}

Tensor *ir_tensor(Ctx *ctx, Module *m, TensorKind kind, Sym name, uint32_t rank,
                  const int64_t *dims, int64_t classes, Span span) {
    Tensor *t = ARENA_NEW(ctx->arena, Tensor);
    t->name = kind == TENSOR_LOCAL ? unique_name(ctx, m, name) : name;
    t->kind = kind;
    t->rank = rank;
    t->dims = arena_copy(ctx->arena, dims, rank * sizeof *dims);
    t->classes = classes;
    t->span = span;
    t->id = ir_context(ctx)->next_tensor++;
    t->decays = true;
    vec_push(ctx->arena, &m->tensors, t);
    map_set(ctx->arena, &m->names, t->name, t);
    return t;
}

Index *ir_index(Ctx *ctx, Sym name, int64_t extent) {
    Index *index = ARENA_NEW(ctx->arena, Index);
    *index = (Index){.name = name, .extent = extent, .id = ir_context(ctx)->next_index++};
    return index;
}

Equation *ir_define(Ctx *ctx, Module *m, Tensor *result, Index *const *free, const Expr *body,
                    Span span) {
    DLC_ASSERT(ctx, !map_has(&m->definitions, result), span);
    for (uint32_t i = 0; i < result->rank; i++)
        DLC_ASSERT(ctx, free[i]->extent == result->dims[i], span);
    Equation *equation = ARENA_NEW(ctx->arena, Equation);
    equation->result = result;
    equation->free = arena_copy(ctx->arena, free, result->rank * sizeof *free);
    equation->body = body;
    equation->span = span;
    vec_push(ctx->arena, &m->equations, equation);
    map_set(ctx->arena, &m->definitions, result, equation);
    return equation;
}

Equation *ir_definition(const Module *m, const Tensor *tensor) {
    return map_get(&m->definitions, tensor);
}

Index **ir_free_indices(Ctx *ctx, const Tensor *tensor, const Sym *names) {
    static const char *const usual[] = {"i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"};
    Index **free = ARENA_ARRAY(ctx->arena, Index *, tensor->rank + 1);
    uint32_t used = 0;
    for (uint32_t d = 0; d < tensor->rank; d++) {
        bool batch = tensor->dims[d] == EXTENT_BATCH;
        const char *name = batch ? "batch" : usual[used++ % 12];
        free[d] = ir_index(ctx, names && names[d] ? names[d] : sym(ctx, name), tensor->dims[d]);
    }
    return free;
}

/* ---- leaves and whole numbers -----------------------------------------------------------------
 */

const Expr *ir_number(Ctx *ctx, double value) {
    return ir_intern(ctx,
                     (Expr){.kind = EX_NUMBER, .type = TY_REAL, .number = value == 0 ? 0 : value});
}

const Expr *ir_truth(Ctx *ctx, bool value) {
    return ir_intern(ctx, (Expr){.kind = EX_TRUTH, .type = TY_BOOL, .truth = value});
}

static const Expr *affine(Ctx *ctx, int64_t offset, const Term *terms, uint32_t n) {
    Expr e = {.kind = EX_AFFINE, .type = TY_INT};
    e.affine.offset = offset;
    e.affine.nterms = n;
    e.affine.terms = terms;
    return ir_intern(ctx, e);
}

const Expr *ir_int(Ctx *ctx, int64_t value) {
    return affine(ctx, value, NULL, 0);
}

const Expr *ir_int_atom(Ctx *ctx, const Expr *atom) {
    if (atom->kind == EX_AFFINE) return atom;
    DLC_ASSERT(ctx, atom->type == TY_INT, ((Span){0, 0}));
    Term term = {1, atom};
    return affine(ctx, 0, &term, 1);
}

const Expr *ir_index_value(Ctx *ctx, Index *index) {
    if (!index->value)
        index->value = ir_int_atom(
            ctx, ir_intern(ctx, (Expr){.kind = EX_INDEX, .type = TY_INT, .index = index}));
    return index->value;
}

int64_t ir_saturating_mul(int64_t a, int64_t b) {
    int64_t out;
    if (!__builtin_mul_overflow(a, b, &out)) return out;
    return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
}

int64_t ir_saturating_add(int64_t a, int64_t b) {
    int64_t out;
    if (!__builtin_add_overflow(a, b, &out)) return out;
    return a > 0 ? INT64_MAX : INT64_MIN;
}

enum { FEW_TERMS = 8, FEW_DIMS = 8 };

/* Room for the terms of a prototype: the caller's, when there are few. */
static Term *room(Ctx *ctx, Term *few, uint32_t n) {
    return n <= FEW_TERMS ? few : ARENA_ARRAY(ctx->arena, Term, n);
}

/* n*floor(a/n) + (a mod n) = a. */
static const Expr *join_quotients(Ctx *ctx, const Expr *sum) {
    for (uint32_t i = 0; i < sum->affine.nterms; i++) {
        const Term *mod = &sum->affine.terms[i];
        if (mod->atom->kind != EX_MOD) continue;
        for (uint32_t k = 0; k < sum->affine.nterms; k++) {
            const Term *div = &sum->affine.terms[k];
            bool pair = div->atom->kind == EX_FLOORDIV &&
                        div->atom->div.num == mod->atom->div.num &&
                        div->atom->div.den == mod->atom->div.den &&
                        div->coefficient == ir_saturating_mul(mod->coefficient, div->atom->div.den);
            if (!pair) continue;
            const Expr *whole = ir_int_scale(ctx, mod->atom->div.num, mod->coefficient);
            const Expr *rest = ir_int_sub(
                ctx, sum, ir_int_scale(ctx, ir_int_atom(ctx, mod->atom), mod->coefficient));
            rest = ir_int_sub(ctx, rest,
                              ir_int_scale(ctx, ir_int_atom(ctx, div->atom), div->coefficient));
            return ir_int_add(ctx, rest, whole);
        }
    }
    return sum;
}

/* terms += factor * more, all sorted by their atoms; returns how many there are then. Those that
 * cancel stay, with the coefficient 0. */
static uint32_t add_terms(Term *terms, uint32_t n, const Expr *more, int64_t factor) {
    uint32_t at = 0;
    for (uint32_t i = 0; i < more->affine.nterms; i++) {
        const Expr *atom = more->affine.terms[i].atom;
        int64_t c = ir_saturating_mul(more->affine.terms[i].coefficient, factor);
        while (at < n && terms[at].atom->id < atom->id) at++;
        if (at < n && terms[at].atom == atom) {
            terms[at].coefficient = ir_saturating_add(terms[at].coefficient, c);
            continue;
        }
        memmove(terms + at + 1, terms + at, (n++ - at) * sizeof *terms);
        terms[at] = (Term){c, atom};
    }
    return n;
}

const Expr *ir_int_sum(Ctx *ctx, int64_t offset, const Expr *const *parts, const int64_t *factors,
                       uint32_t n) {
    uint32_t most = 0, nterms = 0, kept = 0;
    for (uint32_t i = 0; i < n; i++) most += ir_int_atom(ctx, parts[i])->affine.nterms;
    Term few[FEW_TERMS], *terms = room(ctx, few, most);
    for (uint32_t i = 0; i < n; i++) {
        const Expr *part = ir_int_atom(ctx, parts[i]);
        nterms = add_terms(terms, nterms, part, factors[i]);
        offset = ir_saturating_add(offset, ir_saturating_mul(part->affine.offset, factors[i]));
    }
    for (uint32_t i = 0; i < nterms; i++)
        if (terms[i].coefficient) terms[kept++] = terms[i];
    return join_quotients(ctx, affine(ctx, offset, terms, kept));
}

const Expr *ir_int_add(Ctx *ctx, const Expr *a, const Expr *b) {
    const Expr *parts[] = {a, b};
    const int64_t factors[] = {1, 1};
    return ir_int_sum(ctx, 0, parts, factors, 2);
}

const Expr *ir_int_scale(Ctx *ctx, const Expr *a, int64_t factor) {
    a = ir_int_atom(ctx, a);
    if (factor == 0) return ir_int(ctx, 0);
    if (factor == 1) return a;
    Term few[FEW_TERMS], *terms = room(ctx, few, a->affine.nterms);
    for (uint32_t i = 0; i < a->affine.nterms; i++)
        terms[i] = (Term){ir_saturating_mul(a->affine.terms[i].coefficient, factor),
                          a->affine.terms[i].atom};
    return affine(ctx, ir_saturating_mul(a->affine.offset, factor), terms, a->affine.nterms);
}

const Expr *ir_int_sub(Ctx *ctx, const Expr *a, const Expr *b) {
    const Expr *parts[] = {a, b};
    const int64_t factors[] = {1, -1};
    return ir_int_sum(ctx, 0, parts, factors, 2);
}

static int64_t floor_div(int64_t a, int64_t n) {
    return a / n - (a % n != 0 && (a % n < 0) != (n < 0));
}

/* Splits a into n*whole + rest, where rest has the terms that n does not divide. */
static void split_multiples(Ctx *ctx, const Expr *a, int64_t n, const Expr **whole,
                            const Expr **rest) {
    *whole = ir_int(ctx, floor_div(a->affine.offset, n));
    *rest = ir_int(ctx, a->affine.offset - floor_div(a->affine.offset, n) * n);
    for (uint32_t i = 0; i < a->affine.nterms; i++) {
        int64_t c = a->affine.terms[i].coefficient;
        const Expr *atom = ir_int_atom(ctx, a->affine.terms[i].atom);
        if (c % n == 0)
            *whole = ir_int_add(ctx, *whole, ir_int_scale(ctx, atom, c / n));
        else
            *rest = ir_int_add(ctx, *rest, ir_int_scale(ctx, atom, c));
    }
}

static const Expr *div_node(Ctx *ctx, ExprKind kind, const Expr *num, int64_t den) {
    Expr e = {.kind = kind, .type = TY_INT};
    e.div.num = num;
    e.div.den = den;
    return ir_int_atom(ctx, ir_intern(ctx, e));
}

const Expr *ir_floordiv(Ctx *ctx, const Expr *a, int64_t n) {
    DLC_ASSERT(ctx, n > 0, ((Span){0, 0}));
    a = ir_int_atom(ctx, a);
    if (n == 1) return a;
    const Expr *whole, *rest;
    split_multiples(ctx, a, n, &whole, &rest);
    int64_t low, high;
    ir_bounds(rest, &low, &high);
    if (low >= 0 && high < n) return whole;
    bool nested = rest->affine.nterms == 1 && rest->affine.offset == 0 &&
                  rest->affine.terms[0].coefficient == 1 &&
                  rest->affine.terms[0].atom->kind == EX_FLOORDIV;
    if (nested) {
        const Expr *inner = rest->affine.terms[0].atom;
        int64_t den = ir_saturating_mul(inner->div.den, n);
        if (den != INT64_MAX) return ir_int_add(ctx, whole, ir_floordiv(ctx, inner->div.num, den));
    }
    /* floor((a mod n*k) / n) = floor(a / n) mod k */
    const Expr *inner = rest->affine.nterms == 1 ? rest->affine.terms[0].atom : NULL;
    if (inner && inner->kind == EX_MOD && rest->affine.offset == 0 &&
        rest->affine.terms[0].coefficient == 1 && inner->div.den % n == 0) {
        const Expr *quotient = ir_floordiv(ctx, inner->div.num, n);
        return ir_int_add(ctx, whole, ir_mod(ctx, quotient, inner->div.den / n));
    }
    return ir_int_add(ctx, whole, div_node(ctx, EX_FLOORDIV, rest, n));
}

const Expr *ir_mod(Ctx *ctx, const Expr *a, int64_t n) {
    DLC_ASSERT(ctx, n > 0, ((Span){0, 0}));
    a = ir_int_atom(ctx, a);
    if (n == 1) return ir_int(ctx, 0);
    const Expr *whole, *rest;
    split_multiples(ctx, a, n, &whole, &rest);
    int64_t low, high;
    ir_bounds(rest, &low, &high);
    if (low >= 0 && high < n) return rest;
    bool nested = rest->affine.nterms == 1 && rest->affine.offset == 0 &&
                  rest->affine.terms[0].coefficient == 1 &&
                  rest->affine.terms[0].atom->kind == EX_MOD;
    if (nested && rest->affine.terms[0].atom->div.den % n == 0)
        return ir_mod(ctx, rest->affine.terms[0].atom->div.num, n);
    return div_node(ctx, EX_MOD, rest, n);
}

const Expr *ir_real(Ctx *ctx, const Expr *integer) {
    if (integer->type == TY_REAL) return integer;
    DLC_ASSERT(ctx, integer->type == TY_INT, ((Span){0, 0}));
    integer = ir_int_atom(ctx, integer);
    if (integer->affine.nterms == 0) return ir_number(ctx, (double)integer->affine.offset);
    return ir_intern(ctx, (Expr){.kind = EX_REAL, .type = TY_REAL, .integer = integer});
}

const Expr *ir_draw(Ctx *ctx, DrawKind kind, uint32_t site, const Expr *counter) {
    Expr e = {.kind = EX_DRAW, .type = TY_REAL};
    e.draw.kind = kind;
    e.draw.site = site;
    e.draw.counter = ir_int_atom(ctx, counter);
    return ir_intern(ctx, e);
}

const Expr *ir_step(Ctx *ctx) {
    return ir_intern(ctx, (Expr){.kind = EX_STEP, .type = TY_REAL});
}
const Expr *ir_batch(Ctx *ctx) {
    return ir_intern(ctx, (Expr){.kind = EX_BATCH, .type = TY_REAL});
}

/* ---- operations ---------------------------------------------------------------------------------
 */

typedef struct OpRow {
    const char *text;
    uint32_t arity;
    enum { RESULT_REAL, RESULT_BOOL, RESULT_SAME } result;
} OpRow;

static const OpRow rows[] = {
#define REAL                          RESULT_REAL
#define BOOL                          RESULT_BOOL
#define SAME                          RESULT_SAME
#define OP(name, arity, text, result) {text, arity, result},
#include "ir/ops.def"
#undef OP
#undef REAL
#undef BOOL
#undef SAME
};

const char *op_text(Op op) {
    return rows[op].text;
}
uint32_t op_arity(Op op) {
    return rows[op].arity;
}

const Expr *ir_op_node(Ctx *ctx, Op op, const Expr *const *args) {
    Expr e = {.kind = EX_OP};
    uint32_t n = rows[op].arity;
    e.op.op = op;
    e.op.nargs = n;
    for (uint32_t i = 0; i < n; i++) e.op.args[i] = args[i];
    e.type = rows[op].result == RESULT_REAL   ? TY_REAL
             : rows[op].result == RESULT_BOOL ? TY_BOOL
                                              : args[n - 1]->type;
    return ir_intern(ctx, e);
}

/* Whole-number arithmetic that stays affine; NULL when it must be done in real numbers. */
static const Expr *int_op(Ctx *ctx, Op op, const Expr *a, const Expr *b) {
    int64_t c;
    if (op == OP_ADD) return ir_int_add(ctx, a, b);
    if (op == OP_SUB) return ir_int_sub(ctx, a, b);
    if (op == OP_NEG) return ir_int_scale(ctx, a, -1);
    if (op == OP_MUL && ir_is_constant_int(b, &c)) return ir_int_scale(ctx, a, c);
    if (op == OP_MUL && ir_is_constant_int(a, &c)) return ir_int_scale(ctx, b, c);
    return NULL;
}

/* May the operation take whole numbers as they are? */
static bool keeps_ints(Op op) {
    return op == OP_MAX || op == OP_MIN || op == OP_SELECT || op == OP_STOP ||
           (op >= OP_EQ && op <= OP_GE);
}

const Expr *ir_op(Ctx *ctx, Op op, const Expr *const *given) {
    const Expr *args[3] = {NULL};
    uint32_t n = rows[op].arity, first = op == OP_SELECT ? 1 : 0;
    bool ints = true, bools = op == OP_AND || op == OP_OR || op == OP_NOT;
    for (uint32_t i = 0; i < n; i++) {
        args[i] = given[i];
        if (args[i]->type == TY_INT) args[i] = ir_int_atom(ctx, args[i]);
        if (i >= first && args[i]->type != TY_INT) ints = false;
        if (i >= first && args[i]->type == TY_BOOL) bools = true;
    }
    if (ints && !bools) {
        const Expr *whole = int_op(ctx, op, args[0], n > 1 ? args[1] : NULL);
        if (whole) return whole;
    }
    if (!bools && !(ints && keeps_ints(op)))
        for (uint32_t i = first; i < n; i++) args[i] = ir_real(ctx, args[i]);
    const Expr *simple = ir_simplify_op(ctx, op, args);
    if (simple) return simple;
    const Expr *node = ir_op_node(ctx, op, args);
    return node->type == TY_INT ? ir_int_atom(ctx, node) : node;
}

const Expr *ir_op1(Ctx *ctx, Op op, const Expr *a) {
    return ir_op(ctx, op, &a);
}

const Expr *ir_op2(Ctx *ctx, Op op, const Expr *a, const Expr *b) {
    const Expr *args[] = {a, b};
    return ir_op(ctx, op, args);
}

const Expr *ir_select(Ctx *ctx, const Expr *condition, const Expr *a, const Expr *b) {
    const Expr *args[] = {condition, a, b};
    return ir_op(ctx, OP_SELECT, args);
}

const Expr *ir_add(Ctx *ctx, const Expr *a, const Expr *b) {
    return ir_op2(ctx, OP_ADD, a, b);
}
const Expr *ir_sub(Ctx *ctx, const Expr *a, const Expr *b) {
    return ir_op2(ctx, OP_SUB, a, b);
}
const Expr *ir_mul(Ctx *ctx, const Expr *a, const Expr *b) {
    return ir_op2(ctx, OP_MUL, a, b);
}
const Expr *ir_div(Ctx *ctx, const Expr *a, const Expr *b) {
    return ir_op2(ctx, OP_DIV, a, b);
}
const Expr *ir_neg(Ctx *ctx, const Expr *a) {
    return ir_op1(ctx, OP_NEG, a);
}

/* ---- reads
 * ------------------------------------------------------------------------------------------ */

const Expr *ir_read(Ctx *ctx, Tensor *tensor, const Expr *const *subs, const Expr *otherwise) {
    Expr e = {.kind = EX_READ, .type = tensor->classes ? TY_INT : TY_REAL};
    const Expr *few[FEW_DIMS], **list = few;
    if (tensor->rank > FEW_DIMS) list = ARENA_ARRAY(ctx->arena, const Expr *, tensor->rank);
    bool inside = true;
    for (uint32_t d = 0; d < tensor->rank; d++) {
        list[d] = ir_int_atom(ctx, subs[d]);
        if (otherwise && inside) inside = ir_inside(ctx, list[d], tensor->dims[d], NULL, 0);
    }
    e.read.tensor = tensor;
    e.read.subs = list;
    if (otherwise && !inside)
        e.read.otherwise = tensor->classes ? ir_int_atom(ctx, otherwise) : ir_real(ctx, otherwise);
    return ir_intern(ctx, e);
}

const Expr *ir_read_at(Ctx *ctx, Tensor *tensor, Index *const *indices) {
    const Expr *few[FEW_DIMS], **subs = few;
    if (tensor->rank > FEW_DIMS) subs = ARENA_ARRAY(ctx->arena, const Expr *, tensor->rank);
    for (uint32_t d = 0; d < tensor->rank; d++) subs[d] = ir_index_value(ctx, indices[d]);
    return ir_read(ctx, tensor, subs, NULL);
}
