/* sema/initial.c: how parameters and states start.
 *
 * in:   what is written behind `~` or, for a state, behind `=`      out: a module of updates
 * fan_in is the number of elements that are summed into one element of the equation that uses the
 * parameter, fan_out the number of elements that one element of what it is multiplied with is fed
 * into. Both are read off the reduction that uses it. An index that shares a subscript with a free
 * one, as the position in the window of a convolution does, counts for both.
 */
#include "sema/private.h"

typedef struct Fans {
    double in, out;
} Fans;

/* ---- fan_in, fan_out ------------------------------------------------------------------------ */

/* The walk over a module that finds the fans of all its parameters. */
typedef struct FanWalk {
    Ctx *ctx;
    Map *fans;               /* Tensor* → Fans*, by the first reduction that uses the parameter */
    Map copies;              /* Tensor* → the parameter whose elements it holds in another shape */
    Vec(const Expr *) reads; /* in the reduction that is looked at */
} FanWalk;

static void note_read(void *data, const Expr *e) {
    FanWalk *walk = data;
    if (e->kind == EX_READ) vec_push(walk->ctx->arena, &walk->reads, e);
}

static bool is_over(const Expr *reduction, const Index *index) {
    uint32_t n = reduction->kind == EX_REDUCE ? reduction->reduce.nover : reduction->contract.nover;
    Index **over = reduction->kind == EX_REDUCE ? reduction->reduce.over : reduction->contract.over;
    for (uint32_t i = 0; i < n; i++)
        if (over[i] == index) return true;
    return false;
}

/* Does the reduced index stand in a subscript of something else than the parameter, together with
 * one that is not reduced? */
static bool is_window(const FanWalk *walk, const Tensor *param, const Expr *reduction,
                      const Index *index) {
    for (uint32_t r = 0; r < walk->reads.len; r++) {
        const Expr *read = walk->reads.at[r];
        for (uint32_t d = 0; read->read.tensor != param && d < read->read.tensor->rank; d++) {
            const Expr *sub = read->read.subs[d];
            bool has_it = false, has_free = false;
            for (uint32_t t = 0; sub->kind == EX_AFFINE && t < sub->affine.nterms; t++) {
                const Expr *atom = sub->affine.terms[t].atom;
                if (atom->kind != EX_INDEX) continue;
                has_it |= atom->index == index;
                has_free |= !is_over(reduction, atom->index);
            }
            if (has_it && has_free) return true;
        }
    }
    return false;
}

/* Of a parameter, or a copy of it, that is read in a sum. */
static Fans *fans_in_sum(const FanWalk *walk, const Expr *sum, const Expr *own) {
    const Tensor *param = own->read.tensor;
    Fans *fans = ARENA_NEW(walk->ctx->arena, Fans);
    *fans = (Fans){1, 1};
    for (uint32_t d = 0; d < param->rank; d++) {
        const Expr *sub = own->read.subs[d];
        bool alone = sub->kind == EX_AFFINE && sub->affine.nterms == 1 &&
                     sub->affine.terms[0].atom->kind == EX_INDEX;
        const Index *index = alone ? sub->affine.terms[0].atom->index : NULL;
        bool over = index && is_over(sum, index);
        if (over) fans->in *= (double)param->dims[d];
        if (!over || is_window(walk, param, sum, index)) fans->out *= (double)param->dims[d];
    }
    return fans;
}

static const Tensor *parameter_of(const FanWalk *walk, const Tensor *tensor) {
    return tensor->kind == TENSOR_PARAM ? tensor : map_get(&walk->copies, tensor);
}

static void look_at(void *data, const Expr *e) {
    FanWalk *walk = data;
    bool sums = e->kind == EX_CONTRACT || (e->kind == EX_REDUCE && e->reduce.op == REDUCE_SUM);
    if (!sums) return;
    walk->reads.len = 0;
    ir_visit(walk->ctx, e, note_read, walk);
    for (uint32_t r = walk->reads.len; r-- > 0;) {
        const Tensor *param = parameter_of(walk, walk->reads.at[r]->read.tensor);
        if (param && !map_has(walk->fans, param))
            map_set(walk->ctx->arena, walk->fans, param, fans_in_sum(walk, e, walk->reads.at[r]));
    }
}

static Map find_fans(Ctx *ctx, const Module *m) {
    Map fans = {0};
    FanWalk walk = {.ctx = ctx, .fans = &fans};
    for (uint32_t i = 0; i < m->equations.len; i++) {
        const Equation *e = m->equations.at[i];
        const Tensor *param =
            e->body->kind == EX_READ ? parameter_of(&walk, e->body->read.tensor) : NULL;
        if (param) map_set(ctx->arena, &walk.copies, e->result, (void *)(uintptr_t)param);
        ir_visit(ctx, e->body, look_at, &walk);
    }
    return fans;
}

/* What no sum uses has its first dimension as the outputs, if it has others. */
static Fans fans_of(const Map *fans, const Tensor *param) {
    const Fans *found = map_get(fans, param);
    if (found) return *found;
    Fans guess = {1, 1};
    for (uint32_t d = 0; d < param->rank; d++) {
        if (d == 0 && param->rank > 1)
            guess.out *= (double)param->dims[d];
        else
            guess.in *= (double)param->dims[d];
    }
    return guess;
}

/* ---- values
 * ----------------------------------------------------------------------------------------- */

/* Gives the value to the tensor: a number to every element. */
static void set_initial(Expander *init, const Place *p, Tensor *tensor, Value v, Span span) {
    Ctx *ctx = init->ctx;
    if (v.kind == VALUE_ERROR) return;
    if (!number_of(p, &v, span)) return;
    bool same = v.rank == 0 || v.rank == tensor->rank;
    for (uint32_t d = 0; same && d < v.rank; d++) same = v.at[d]->extent == tensor->dims[d];
    if (!same) {
        diag_error(ctx, span, "the initial value is %s, and `%s` has another shape",
                   value_shape(ctx, &v), tensor->name);
        return;
    }
    Index **at = v.rank ? v.at : ir_free_indices(ctx, tensor, NULL);
    if (v.rank != tensor->rank || !v.tensor || v.tensor->classes) {
        const char *name = arena_printf(ctx->arena, "init.%s", tensor->name);
        v = define_tensor(p, name, at, tensor->rank, ir_real(ctx, v.expr), span, NULL);
        if (v.kind != VALUE_TENSOR) return;
    }
    ir_use_tensor(ctx, init->m, tensor);
    Update update = {tensor, v.tensor};
    vec_push(ctx->arena, &init->m->updates, update);
}

typedef struct Foreign {
    const Module *m;
    const Tensor *found; /* read, and not made here */
} Foreign;

static void note_foreign(void *data, const Expr *e) {
    Foreign *f = data;
    if (e->kind == EX_READ && !ir_definition(f->m, e->read.tensor)) f->found = e->read.tensor;
}

/* When parameters are initialised no tensor has a value yet. */
static void check_reads(Expander *init, uint32_t first, Span span) {
    Foreign f = {.m = init->m};
    for (uint32_t i = first; i < init->m->equations.len; i++)
        ir_visit(init->ctx, init->m->equations.at[i]->body, note_foreign, &f);
    if (f.found)
        diag_error(init->ctx, span,
                   "this initialiser reads `%s`, but it is given the shapes of tensors, not values",
                   f.found->name);
}

static Definition *find_init(Expander *init, const Tree *callee) {
    Ctx *ctx = init->ctx;
    if (callee->kind == T_NAME) {
        Definition *found =
            program_find(ctx, init->program, SPACE_INIT, callee->name, callee->span);
        if (found) return found;
        Diag *d = diag_error(ctx, callee->span, "there is no initialiser `%s`", callee->name);
        const char *near = program_nearest(ctx, init->program, SPACE_INIT, callee->name, NULL, 0);
        if (near) diag_help(ctx, d, "did you mean `%s`?", near);
    } else if (callee->kind != T_ERROR) {
        diag_error(ctx, callee->span, "here the name of an initialiser is wanted");
    }
    return NULL;
}

static void init_param(Expander *init, const Initial *initial, const Map *all_fans) {
    Ctx *ctx = init->ctx;
    const Tree *call = initial->tree, *callee = call->kind == T_CALL ? call->call.callee : call;
    Definition *definition = find_init(init, callee);
    if (!definition) return;
    Place outside = place_in(initial->scope, *initial->scope->position + 1);
    Arguments args = {0};
    Argument tensor = {NULL, callee->span, value_tensor(ctx, initial->tensor, 0, NULL)};
    vec_push(ctx->arena, &args, tensor);
    if (call->kind == T_CALL) {
        Arguments written = eval_arguments(&outside, &call->call.args);
        for (uint32_t i = 0; i < written.len; i++) vec_push(ctx->arena, &args, written.at[i]);
    }
    Place place = place_in(init->root, 1);
    if (!enter_call(&place, definition, call->span)) return;
    const char *path = arena_printf(ctx->arena, "init.%s.", initial->tensor->name);
    uint32_t first = init->m->equations.len;
    Scope *scope = bind_arguments(&place, definition, &args, call->span, path);
    if (scope) {
        Fans fans = fans_of(all_fans, initial->tensor);
        scope_bind(scope, sym(ctx, "fan_in"), call->span, value_of(ir_number(ctx, fans.in)));
        scope_bind(scope, sym(ctx, "fan_out"), call->span, value_of(ir_number(ctx, fans.out)));
        Value v = run_body(&place, definition, scope);
        set_initial(init, &place, initial->tensor, v, call->span);
        check_reads(init, first, call->span);
    }
    leave_call(init);
}

static void init_state(Expander *init, const Initial *initial) {
    Place outside = place_in(initial->scope, *initial->scope->position + 1);
    Place place = place_in(init->root, 1);
    Value v = eval(&outside, initial->tree);
    if (v.kind == VALUE_TENSOR && !value_is_constant(&v)) {
        diag_error(init->ctx, initial->tree->span,
                   "a state starts with a number that is known when the model is compiled");
        return;
    }
    set_initial(init, &place, initial->tensor, v, initial->tree->span);
}

void expand_initials(Expander *init, const Expander *x) {
    Map fans = find_fans(init->ctx, x->m);
    for (uint32_t i = 0; i < x->initials.len; i++) {
        const Initial *initial = &x->initials.at[i];
        if (initial->tensor->kind == TENSOR_PARAM)
            init_param(init, initial, &fans);
        else
            init_state(init, initial);
    }
}
