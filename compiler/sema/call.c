/* sema/call.c: functions, layers and their compositions, called.
 *
 * A `fn` is a macro: its value is evaluated with its parameters standing for the arguments. A layer
 * is a body of its own: its tensors are bound by the patterns of its header, its equations become
 * tensors named by the path to the call.
 */
#include "sema/private.h"

enum { MAX_CALLS = 100 };

/* ---- what can be called
 * --------------------------------------------------------------------------- */

bool find_operation(const char *name, Op *op) {
    for (int i = 0; i < OPS; i++) {
        bool is_word = (op_text((Op)i)[0] >= 'a' && op_text((Op)i)[0] <= 'z');
        if (!is_word || i == OP_SELECT || i == OP_AND || i == OP_OR || i == OP_NOT) continue;
        if (strcmp(op_text((Op)i), name) == 0) {
            *op = (Op)i;
            return true;
        }
    }
    return false;
}

const Callable *callable_definition(Ctx *ctx, const Definition *definition) {
    Callable *callable = ARENA_NEW(ctx->scratch, Callable);
    *callable = (Callable){
        .kind = CALL_DEFINITION, .definition = definition, .span = definition->tree->span};
    return callable;
}

/* A definition may be called inside itself only as an argument: `x -> residual(residual(f: g))`. */
static bool is_recursive(const Place *p, const Definition *definition, Span span) {
    Expander *x = p->x;
    Ctx *ctx = x->ctx;
    bool runs = false;
    for (uint32_t i = 0; i < x->calls.len && !runs; i++) runs = x->calls.at[i] == definition;
    if (!runs || !reaches_itself(ctx, x->program, definition)) return false;
    Diag *d =
        diag_error(ctx, span, "`%s` is recursive: it is called inside itself", definition->name);
    diag_note(ctx, d, definition->tree->def.name_span, "`%s` is defined here", definition->name);
    diag_help(ctx, d, "to do something several times use `repeat`, over time a recurrence");
    return true;
}

bool enter_call(const Place *p, const Definition *definition, Span span) {
    Expander *x = p->x;
    Ctx *ctx = x->ctx;
    if (is_recursive(p, definition, span)) return false;
    if (x->calls.len >= MAX_CALLS) {
        diag_error(ctx, span, "calls are nested more than %d deep", MAX_CALLS);
        x->fuel = NO_FUEL;
        return false;
    }
    vec_push(ctx->scratch, &x->calls, definition);
    DiagCall *call = ARENA_NEW(ctx->arena, DiagCall);
    *call = (DiagCall){ctx->diags.calls, span};
    ctx->diags.calls = call;
    return true;
}

void leave_call(Expander *x) {
    x->calls.len--;
    x->ctx->diags.calls = x->ctx->diags.calls->up;
}

Arguments eval_arguments(const Place *p, const TreeList *args) {
    Arguments out = {0};
    Place place = *p;
    place.instance = NULL;
    for (uint32_t i = 0; i < args->len; i++) {
        const Tree *arg = args->at[i];
        if (arg->kind != T_ARG) continue;
        Argument argument = {arg->named.name, arg->named.value->span,
                             eval(&place, arg->named.value)};
        vec_push(p->x->ctx->scratch, &out, argument);
    }
    return out;
}

/* ---- arguments to parameters
 * ---------------------------------------------------------------------- */

static bool is_tensor_param(const Tree *param) {
    return param->decl.has_dims || param->decl.class_size;
}

static void help_arguments(Ctx *ctx, Diag *d, const Names *names) {
    Text text = text_new(ctx->arena);
    for (uint32_t i = 0; i < names->len; i++)
        text_printf(&text, i ? ", `%s`" : "`%s`", names->at[i]);
    if (names->len) diag_help(ctx, d, "its arguments are %s", text_string(&text));
}

/* Which argument goes to which parameter; -1: none. False after a message. */
static bool match_arguments(const Place *p, const Definition *definition, const Arguments *args,
                            Span span, int *of) {
    Ctx *ctx = p->x->ctx;
    const TreeList *params = &definition->tree->def.params;
    uint32_t next = 0;
    Names names = {0};
    for (uint32_t i = 0; i < params->len; i++) {
        of[i] = -1;
        vec_push(ctx->arena, &names, params->at[i]->decl.name);
    }
    for (uint32_t a = 0; a < args->len; a++) {
        const Argument *arg = &args->at[a];
        uint32_t i = 0;
        if (arg->name) {
            while (i < params->len && params->at[i]->decl.name != arg->name) i++;
            if (i == params->len) {
                Diag *d = diag_error(ctx, arg->span, "`%s` has no argument `%s`", definition->name,
                                     arg->name);
                const char *near = diag_nearest(arg->name, names.at, names.len);
                if (near)
                    diag_help(ctx, d, "did you mean `%s`?", near);
                else
                    help_arguments(ctx, d, &names);
                return false;
            }
        } else {
            i = next++;
            if (i >= params->len) {
                Diag *d = diag_error(ctx, arg->span, "too many arguments: `%s` takes %u",
                                     definition->name, params->len);
                diag_note(ctx, d, definition->tree->def.name_span, "`%s` is defined here",
                          definition->name);
                return false;
            }
        }
        if (of[i] >= 0) {
            diag_error(ctx, arg->span, "the argument `%s` of `%s` is given twice",
                       params->at[i]->decl.name, definition->name);
            return false;
        }
        of[i] = (int)a;
    }
    for (uint32_t i = 0; i < params->len; i++) {
        if (of[i] >= 0 || params->at[i]->decl.value) continue;
        Diag *d = diag_error(ctx, span, "`%s` needs an argument `%s`", definition->name,
                             params->at[i]->decl.name);
        diag_note(ctx, d, definition->tree->def.name_span, "`%s` is defined here",
                  definition->name);
        return false;
    }
    return true;
}

/* ---- patterns
 * ---------------------------------------------------------------------------------------- */

static const char *pattern_text(Ctx *ctx, const Tree *param) {
    Text text = text_new(ctx->arena);
    text_put(&text, param->decl.name);
    for (uint32_t d = 0; d < param->decl.dims.len; d++) {
        text_put(&text, d ? ", " : "[");
        syntax_print_tree(&text, param->decl.dims.at[d]);
    }
    if (param->decl.dims.len) text_put(&text, "]");
    return text_string(&text);
}

static bool bind_size(Scope *scope, const Tree *size, int64_t extent, Span span, const char *what) {
    Ctx *ctx = scope->x->ctx;
    Place place = place_in(scope, *scope->position);
    if (size->kind == T_NAME && !scope_find(scope, size->name, 0)) {
        scope_bind(scope, size->name, span, value_of(ir_int(ctx, extent)));
        return true;
    }
    int64_t wanted;
    if (!eval_size(&place, size, "a size", &wanted)) return false;
    if (wanted == extent) return true;
    Diag *d = diag_error(ctx, span, "%s: `%s` would be %lld from this argument, but it is %lld",
                         what, tree_text(ctx, size), (long long)extent, (long long)wanted);
    Binding *first = size->kind == T_NAME ? scope_find(scope, size->name, 0) : NULL;
    if (first)
        diag_note(ctx, d, first->span, "`%s` is %lld from here", size->name, (long long)wanted);
    return false;
}

static bool bind_rest(Scope *scope, const Value *v, uint32_t first, uint32_t n, Span span,
                      const char *what) {
    Ctx *ctx = scope->x->ctx;
    if (!scope->has_rest) {
        scope->has_rest = true;
        scope->nrest = n;
        scope->rest = ARENA_ARRAY(ctx->scratch, int64_t, n + 1);
        for (uint32_t d = 0; d < n; d++) scope->rest[d] = v->at[first + d]->extent;
        return true;
    }
    bool same = scope->nrest == n;
    for (uint32_t d = 0; same && d < n; d++) same = scope->rest[d] == v->at[first + d]->extent;
    if (same) return true;
    Text text = text_new(ctx->arena);
    for (uint32_t d = 0; d < scope->nrest; d++)
        text_printf(&text, d ? ", %lld" : "%lld", (long long)scope->rest[d]);
    diag_error(ctx, span,
               "%s: the dimensions for `..` differ: [%s] from the arguments before, here %s", what,
               text_string(&text), value_shape(ctx, v));
    return false;
}

/* A number that is known may stand for a class when the number of classes is known. */
static bool bind_one_class(Scope *scope, const Tree *param, int64_t class, Span span,
                           const char *what) {
    Ctx *ctx = scope->x->ctx;
    const Tree *size = param->decl.class_size;
    Place place = place_in(scope, *scope->position);
    int64_t classes;
    if (size->kind == T_NAME && !scope_find(scope, size->name, 0)) {
        diag_error(ctx, span,
                   "%s: `%s` is a class of how many? Give it a tensor that is declared "
                   "as `: class(K)`",
                   what, param->decl.name);
        return false;
    }
    if (!eval_size(&place, size, "the number of classes", &classes)) return false;
    if (class >= 0 && class < classes) return true;
    diag_error(ctx, span, "%s: `%s` is a class from 0 to %lld, not %lld", what, param->decl.name,
               (long long)classes - 1, (long long)class);
    return false;
}

static bool bind_class(Scope *scope, const Tree *param, const Value *v, Span span,
                       const char *what) {
    Ctx *ctx = scope->x->ctx;
    if (!param->decl.class_size) return true;
    int64_t classes = v->tensor ? v->tensor->classes : 0, whole;
    if (!classes && value_is_constant(v) && ir_is_constant_int(v->expr, &whole))
        return bind_one_class(scope, param, whole, span, what);
    if (!classes) {
        Diag *d =
            diag_error(ctx, span, "%s: `%s` is a class, a whole number; this is a real number",
                       what, param->decl.name);
        diag_help(ctx, d, "declare it as `: class(K)`");
        return false;
    }
    return bind_size(scope, param->decl.class_size, classes, span, what);
}

/* Binds the sizes in the pattern of a tensor. */
static bool bind_pattern(Scope *scope, const Tree *param, const Value *v, Span span,
                         const char *what) {
    Ctx *ctx = scope->x->ctx;
    const TreeList *dims = &param->decl.dims;
    uint32_t rests = 0, rest_at = dims->len;
    for (uint32_t d = 0; d < dims->len; d++)
        if (dims->at[d]->kind == T_REST) rests++, rest_at = d;
    uint32_t plain = dims->len - rests;
    if (rests > 1) {
        diag_error(ctx, param->span, "`..` can stand only once in a pattern");
        return false;
    }
    if (rests ? v->rank < plain : v->rank != plain) {
        diag_error(ctx, span, "%s takes %s, and this is %s", what, pattern_text(ctx, param),
                   value_shape(ctx, v));
        return false;
    }
    uint32_t nrest = v->rank - plain;
    for (uint32_t d = 0, at = 0; d < dims->len; d++) {
        if (d == rest_at) {
            if (!bind_rest(scope, v, at, nrest, span, what)) return false;
            at += nrest;
        } else if (!bind_size(scope, dims->at[d], v->at[at++]->extent, span, what))
            return false;
    }
    return bind_class(scope, param, v, span, what);
}

/* What the arguments depend on, the equations of the body may depend on. */
static void add_dependencies(const Place *p, Scope *scope, const Value *v) {
    Ctx *ctx = p->x->ctx;
    if (v->kind != VALUE_TENSOR || !v->tensor) return;
    for (uint32_t h = 0; h < v->nhidden; h++) {
        Index *index = NULL;
        for (uint32_t t = 0; t < v->hidden[h]->affine.nterms; t++)
            if (v->hidden[h]->affine.terms[t].atom->kind == EX_INDEX)
                index = v->hidden[h]->affine.terms[t].atom->index;
        bool known = !index || index == scope->batch;
        for (uint32_t i = 0; i < scope->around.len; i++) known |= scope->around.at[i] == index;
        if (known) continue;
        if (index->extent == EXTENT_BATCH)
            scope->batch = index;
        else
            vec_push(ctx->scratch, &scope->around, index);
    }
}

static bool bind_tensor(const Place *p, Scope *scope, const Tree *param, Argument arg,
                        const char *what) {
    Ctx *ctx = p->x->ctx;
    Value v = arg.value;
    if (v.kind == VALUE_ERROR) return false;
    if (value_is_word(&v)) {
        diag_error(ctx, arg.span, "%s: `%s` is a tensor, and this is %s", what, param->decl.name,
                   value_shape(ctx, &v));
        return false;
    }
    const char *name = arena_printf(ctx->arena, "%s%s", scope->path, param->decl.name);
    v = materialise(p, v, name, arg.span);
    if (v.kind == VALUE_ERROR) return false;
    if (v.is_truth) v = value_tensor(ctx, v.tensor, v.nhidden, v.hidden);
    if (!bind_pattern(scope, param, &v, arg.span, what)) return false;
    add_dependencies(p, scope, &v);
    scope_bind(scope, param->decl.name, arg.span, v);
    return true;
}

/* Other parameters: numbers, truth values and functions known when the model is compiled. */
static bool bind_plain(const Place *p, Scope *scope, const Definition *definition,
                       const Tree *param, Argument arg) {
    Ctx *ctx = p->x->ctx;
    if (arg.value.kind == VALUE_ERROR) return false;
    bool schedule = definition->space == SPACE_OPTIMIZER && arg.value.kind == VALUE_TENSOR &&
                    arg.value.rank == 0;
    if (arg.value.kind == VALUE_TENSOR && !value_is_constant(&arg.value) && !schedule) {
        Diag *d = diag_error(
            ctx, arg.span, "`%s` of `%s` is a number known when the model is compiled; this is %s",
            param->decl.name, definition->name,
            arg.value.rank ? arena_printf(ctx->arena, "a tensor %s", value_shape(ctx, &arg.value))
                           : "computed from data");
        diag_note(ctx, d, definition->tree->def.name_span,
                  "a parameter that is a tensor has a pattern, `%s[]` or `%s[..]`",
                  param->decl.name, param->decl.name);
        return false;
    }
    scope_bind(scope, param->decl.name, arg.span, arg.value);
    return true;
}

static bool bind_all(const Place *p, const Definition *definition, const Arguments *args,
                     const int *of, Scope *scope) {
    Ctx *ctx = p->x->ctx;
    const TreeList *params = &definition->tree->def.params;
    const char *what =
        arena_printf(ctx->arena, "%s `%s`", tree_word(definition->tree->kind), definition->name);
    for (int tensors = 1; tensors >= 0; tensors--)
        for (uint32_t i = 0; i < params->len; i++) {
            const Tree *param = params->at[i];
            if (is_tensor_param(param) != tensors) continue;
            Argument arg = {param->decl.name, param->span, value_error()};
            Place inside = place_in(scope, *scope->position);
            inside.in_optimizer = definition->space == SPACE_OPTIMIZER;
            if (of[i] >= 0)
                arg = args->at[of[i]];
            else
                arg.value = eval(&inside, param->decl.value);
            if (!(tensors ? bind_tensor(p, scope, param, arg, what)
                          : bind_plain(p, scope, definition, param, arg)))
                return false;
        }
    return true;
}

Scope *bind_arguments(const Place *p, const Definition *definition, const Arguments *args,
                      Span span, const char *path) {
    Ctx *ctx = p->x->ctx;
    int *of = ARENA_ARRAY(ctx->scratch, int, definition->tree->def.params.len + 1);
    if (!match_arguments(p, definition, args, span, of)) return NULL;
    const char *owner =
        arena_printf(ctx->arena, "%s `%s`", tree_word(definition->tree->kind), definition->name);
    Scope *scope = scope_new(p->x, NULL, path, owner, definition->is_library);
    return bind_all(p, definition, args, of, scope) ? scope : NULL;
}

/* ---- bodies
 * ---------------------------------------------------------------------------------------------- */

static Value run_expression(Place *place, const Tree *value) {
    place->ranges = infer_ranges(place, value, NULL, NULL, NULL, NULL);
    return place->ranges ? eval(place, value) : value_error();
}

Value run_body(const Place *p, const Definition *definition, Scope *scope) {
    const Tree *tree = definition->tree;
    Place place = place_in(scope, *scope->position + 1);
    place.bound = p->bound;
    if (tree->def.value) return run_expression(&place, tree->def.value);
    place.bound = NULL;
    scope_enter(&place, &tree->def.body);
    if (scope->is_refused) return value_error();
    scope_run(scope);
    if (scope->last) {
        scope->last->is_used = true;
        return scope->last->value;
    }
    diag_error(p->x->ctx, tree->def.name_span, "%s `%s` has no equation, so it has no value",
               tree_word(tree->kind), definition->name);
    return value_error();
}

static Value call_layer(const Place *p, const Definition *definition, const Arguments *args,
                        Span span, const char *path) {
    if (!enter_call(p, definition, span)) return value_error();
    Scope *scope = bind_arguments(p, definition, args, span, path);
    Value v = scope ? run_body(p, definition, scope) : value_error();
    leave_call(p->x);
    return v;
}

static Value call_function(const Place *p, const Definition *definition, const Arguments *args,
                           Span span) {
    Ctx *ctx = p->x->ctx;
    const TreeList *params = &definition->tree->def.params;
    int *of = ARENA_ARRAY(ctx->scratch, int, params->len + 1);
    if (!match_arguments(p, definition, args, span, of)) return value_error();
    if (!enter_call(p, definition, span)) return value_error();
    const char *owner = arena_printf(ctx->arena, "function `%s`", definition->name);
    const Scope *body = p->scope;
    while (body->up) body = body->up;
    Scope *scope = scope_new(p->x, NULL, body->path, owner, definition->is_library);
    scope->instances = p->scope->instances; /* layers called in it belong to the body around */
    scope->batch = p->batch;
    Value v = value_error();
    bool good = true;
    for (uint32_t i = 0; i < params->len && good; i++) {
        const Tree *param = params->at[i];
        Place inside = place_in(scope, *scope->position + 1);
        inside.in_optimizer = p->in_optimizer;
        if (is_tensor_param(param)) {
            diag_error(
                ctx, param->span,
                "a function takes numbers, and works on tensors element by element; with the "
                "pattern of a tensor it is a `layer`");
            good = false;
            break;
        }
        Value value = of[i] >= 0 ? args->at[of[i]].value : eval(&inside, param->decl.value);
        good = value.kind != VALUE_ERROR;
        scope_bind(scope, param->decl.name, of[i] >= 0 ? args->at[of[i]].span : param->span, value);
    }
    if (good) {
        Place place = *p;
        place.scope = scope;
        place.position = *scope->position + 1;
        place.binding = NULL;
        place.indices = NULL;
        place.instance = NULL;
        v = run_expression(&place, definition->tree->def.value);
    }
    leave_call(p->x);
    return v;
}

/* Can these be all arguments but the tensors? dense(4), dropout(0.5), conv2d(32, kernel: 3) */
static bool lacks_tensors(const Definition *definition, const Arguments *args) {
    const TreeList *params = &definition->tree->def.params;
    uint32_t tensors = 0, others = 0, positional = 0;
    for (uint32_t i = 0; i < params->len; i++) {
        const Tree *param = params->at[i];
        bool named = false;
        for (uint32_t a = 0; a < args->len; a++) named |= args->at[a].name == param->decl.name;
        bool is_tensor = is_tensor_param(param);
        if (is_tensor && named) return false;
        tensors += is_tensor;
        others += !is_tensor && !named;
    }
    for (uint32_t a = 0; a < args->len; a++) {
        const Argument *arg = &args->at[a];
        if (arg->name) continue;
        positional++;
        if (!value_is_word(&arg->value) && !value_is_constant(&arg->value)) return false;
    }
    return tensors > 0 && positional <= others;
}

/* Names the arguments of a layer value after the parameters that are no tensors, in order. */
static void name_arguments(const Definition *definition, Arguments *args) {
    const TreeList *params = &definition->tree->def.params;
    uint32_t next = 0;
    for (uint32_t a = 0; a < args->len; a++) {
        if (args->at[a].name) continue;
        while (next < params->len && is_tensor_param(params->at[next])) next++;
        if (next < params->len) args->at[a].name = params->at[next++]->decl.name;
    }
}

Value layer_value(const Place *p, const Definition *definition, Arguments args, Span span) {
    Ctx *ctx = p->x->ctx;
    name_arguments(definition, &args);
    Callable *callable = ARENA_NEW(ctx->scratch, Callable);
    const char *path = p->instance ? scope_named_instance(p->scope, p->instance) : NULL;
    if (!path) path = scope_instance(p->scope, definition->name);
    *callable = (Callable){.kind = CALL_WITH,
                           .definition = definition,
                           .given = args,
                           .path = sym(ctx, path),
                           .span = span};
    return value_callable(callable);
}

static Value call_operation(const Place *p, Op op, const Arguments *args, Span span) {
    Ctx *ctx = p->x->ctx;
    Value values[3];
    Span spans[3];
    if (args->len != op_arity(op)) {
        diag_error(ctx, span, "`%s` takes %u argument%s, not %u", op_text(op), op_arity(op),
                   op_arity(op) == 1 ? "" : "s", args->len);
        return value_error();
    }
    for (uint32_t i = 0; i < args->len; i++) {
        if (args->at[i].name) {
            diag_error(ctx, args->at[i].span, "`%s` has no argument `%s`", op_text(op),
                       args->at[i].name);
            return value_error();
        }
        values[i] = args->at[i].value;
        spans[i] = args->at[i].span;
    }
    return apply(p, op, span, values, spans, args->len);
}

Value call_value(const Place *p, const Callable *callable, Arguments args, Span span) {
    Ctx *ctx = p->x->ctx;
    if (!has_fuel(p, span)) return value_error();
    switch (callable->kind) {
    case CALL_OPERATION: return call_operation(p, callable->op, &args, span);
    case CALL_DEFINITION:
        if (callable->definition->tree->kind == T_FN)
            return call_function(p, callable->definition, &args, span);
        if (lacks_tensors(callable->definition, &args))
            return layer_value(p, callable->definition, args, span);
        return call_layer(p, callable->definition, &args, span,
                          scope_instance(p->scope, callable->definition->name));
    case CALL_WITH:
        if (!callable->given.len && args.len && lacks_tensors(callable->definition, &args))
            return layer_value(p, callable->definition, args, span);
        for (uint32_t i = 0; i < callable->given.len; i++)
            vec_push(ctx->scratch, &args, callable->given.at[i]);
        return call_layer(p, callable->definition, &args, span, callable->path);
    case CALL_COMPOSE: {
        Argument first = {NULL, span, call_value(p, callable->first, args, span)};
        if (first.value.kind == VALUE_ERROR) return first.value;
        Arguments one = {0};
        vec_push(ctx->scratch, &one, first);
        return call_value(p, callable->second, one, span);
    }
    }
    return value_error();
}

/* ---- calls as written
 * ---------------------------------------------------------------------------------------- */

/* rank(x): the number of dimensions. */
static Value call_rank(const Place *p, const Arguments *args, Span span) {
    Ctx *ctx = p->x->ctx;
    if (args->len == 1 && args->at[0].value.kind == VALUE_ERROR) return value_error();
    if (args->len == 1 && args->at[0].value.kind == VALUE_TENSOR)
        return value_of(ir_int(ctx, args->at[0].value.rank));
    diag_error(ctx, span, "`rank` takes one tensor");
    return value_error();
}

/* grad(y, x): what one element of x changes in y, a number; of a tensor that differs by example in
 * its own example. */
static Value call_grad(const Place *p, const Arguments *args, Span span) {
    Ctx *ctx = p->x->ctx;
    if (args->len != 2 || args->at[0].name || args->at[1].name) {
        diag_error(ctx, span,
                   "`grad` takes a number and what to differentiate it by: `grad(y, x)`");
        return value_error();
    }
    Value of = args->at[0].value, by = args->at[1].value;
    if (of.kind == VALUE_ERROR || by.kind == VALUE_ERROR) return value_error();
    if (by.kind != VALUE_TENSOR || !by.tensor || by.tensor->classes) {
        diag_error(ctx, args->at[1].span,
                   "here the name of a tensor of real numbers is wanted: an input, a parameter or "
                   "what an equation defines");
        return value_error();
    }
    if (of.kind != VALUE_TENSOR || of.rank || of.expr->type == TY_BOOL) {
        Diag *d = diag_error(ctx, args->at[0].span, "`grad` is of one number; this is %s",
                             value_shape(ctx, &of));
        if (of.kind == VALUE_TENSOR && of.rank) diag_help(ctx, d, "sum it, or take an element");
        return value_error();
    }
    of = define_tensor(p, "grad.of", NULL, 0, ir_real(ctx, of.expr), span, NULL);
    if (of.kind != VALUE_TENSOR) return of;
    if (of.nhidden > (of.tensor->rank && of.tensor->dims[0] == EXTENT_BATCH)) {
        diag_error(ctx, span,
                   "`grad` inside a sum or an equation with indices: give what is differentiated a "
                   "name of its own first");
        return value_error();
    }
    Tensor *result =
        ir_tensor(ctx, p->x->m, TENSOR_LOCAL, sym_printf(ctx, "grad.%s", by.tensor->name),
                  by.tensor->rank, by.tensor->dims, 0, span);
    Derivative derivative = {of.tensor, by.tensor, result};
    vec_push(ctx->arena, &p->x->m->derivatives, derivative);
    return value_tensor(ctx, result, by.nhidden, by.hidden);
}

/* uniform(), normal(). With two arguments, a site and a counter, exactly that draw: what a printed
 * module says. */
static Value call_draw(const Place *p, DrawKind kind, const Arguments *args, Span span) {
    Ctx *ctx = p->x->ctx;
    if (args->len == 0) return eval_draw(p, kind, span);
    int64_t site;
    if (args->len == 2 &&
        size_of_value(p, &args->at[0].value, args->at[0].span, "the site of a draw", &site) &&
        site >= 0 && site <= UINT32_MAX && args->at[1].value.kind == VALUE_TENSOR &&
        args->at[1].value.expr->type == TY_INT)
        return value_of(ir_draw(ctx, kind, (uint32_t)site, args->at[1].value.expr));
    diag_error(ctx, span, "a draw takes no arguments: scale it, `a + b * %s()`",
               kind == DRAW_NORMAL ? "normal" : "uniform");
    return value_error();
}

static bool is_local(const Place *p, const Tree *callee) {
    for (const IndexEnv *env = p->indices; env; env = env->up)
        if (env->name == callee->name) return true;
    return scope_find(p->scope, callee->name, p->position) != NULL;
}

/* What is called: a definition by its name is not a layer value, with parameters of its own, but
 * called there and then. */
static Value eval_callee(const Place *p, const Tree *callee) {
    Ctx *ctx = p->x->ctx;
    Place place = *p;
    place.instance = NULL;
    if (callee->kind == T_NAME && !is_local(p, callee)) {
        const Definition *definition =
            program_find(ctx, p->x->program, SPACE_FUNCTION, callee->name, callee->span);
        if (definition) return value_callable(callable_definition(ctx, definition));
    }
    return eval(&place, callee);
}

static Value call_builtin(const Place *p, const Tree *callee, const Arguments *args, Span span,
                          bool *is_builtin) {
    static const char *const words[] = {"rank", "uniform", "normal", "grad"};
    *is_builtin = false;
    if (callee->kind != T_NAME || is_local(p, callee)) return value_error();
    if (program_find(p->x->ctx, p->x->program, SPACE_FUNCTION, callee->name, callee->span))
        return value_error();
    for (int i = 0; i < 4; i++) {
        if (strcmp(callee->name, words[i]) != 0) continue;
        *is_builtin = true;
        if (i == 3) return call_grad(p, args, span);
        return i == 0 ? call_rank(p, args, span)
                      : call_draw(p, i == 1 ? DRAW_UNIFORM : DRAW_NORMAL, args, span);
    }
    return value_error();
}

Value eval_call(const Place *p, const Tree *call, const Value *first, Span first_span) {
    Ctx *ctx = p->x->ctx;
    bool has_args = call->kind == T_CALL, is_builtin;
    const Tree *callee = has_args ? call->call.callee : call;
    Arguments args = {0};
    if (first) {
        Argument argument = {NULL, first_span, *first};
        vec_push(ctx->scratch, &args, argument);
    }
    if (has_args) {
        Arguments written = eval_arguments(p, &call->call.args);
        for (uint32_t i = 0; i < written.len; i++) vec_push(ctx->scratch, &args, written.at[i]);
    }
    for (uint32_t i = 0; i < args.len; i++)
        if (args.at[i].value.kind == VALUE_ERROR) return value_error();
    Value v = call_builtin(p, callee, &args, call->span, &is_builtin);
    if (is_builtin) return v;
    Value f = eval_callee(p, callee);
    if (f.kind == VALUE_ERROR) return f;
    if (f.kind != VALUE_CALLABLE) {
        diag_error(ctx, callee->span, "`%s` is %s; it cannot be called", tree_text(ctx, callee),
                   value_shape(ctx, &f));
        return value_error();
    }
    return call_value(p, f.callable, args, call->span);
}
