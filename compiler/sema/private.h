/* sema/private.h: what the files of sema/ share.
 *
 *   program.c    definitions: declaring, importing, finding; the library
 *   check.c      names, kinds and counts in definitions that no model need use; what is never used
 *   scope.c      the statements of a body: bindings, repeats
 *   leaves.c     parameters and states
 *   call.c       functions, layers, composition: arguments to bodies
 *   expr.c       expressions to values
 *   element.c    elements of tensors, each proved in range; draws
 *   ranges.c     the ranges of indices
 *   define.c     values to tensors with equations
 *   optimizer.c  the update of every parameter
 *   initial.c    the initial value of every parameter and state
 *   metric.c     metrics, as statistics and what is computed from them
 *   model.c      the modules of a model
 *   data.c       data and train blocks
 *
 * A body is a set of bindings, each evaluated when it is first needed. Evaluating an equation makes
 * a tensor. A Value is what an expression stands for: an Expr for each element.
 */
#ifndef DLC_SEMA_PRIVATE_H
#define DLC_SEMA_PRIVATE_H

#include "sema/sema.h"

/* ---- program.c --------------------------------------------------------------------------- */

typedef enum Space {
    SPACE_FUNCTION, /* fn and layer */
    SPACE_OPTIMIZER,
    SPACE_METRIC,
    SPACE_INIT,
    SPACE_MODEL,
    SPACE_DATA,
    SPACES
} Space;

typedef struct Definition {
    const Tree *tree;
    Sym name;
    Space space;
    bool is_library;
    bool is_imported; /* from another file than the one the user named */
    bool is_used;     /* reached from a model */
    uint32_t round;   /* which declaration it was part of */
} Definition;

struct Program {
    Map user[SPACES], library[SPACES]; /* Sym → Definition* */
    Vec(Definition *) all;             /* the user's, in order */
    Vec(const Tree *) trains;          /* T_TRAIN, in order */
    uint32_t round, old_trains;        /* declarations so far; train blocks of earlier ones */
    Vec(Sym) models;
    Map imported; /* path as Sym → itself: files that were read */
    Vec(Sym) importing;
};

/* What `name` means for the text at `from`: the library's text sees the library first. NULL. */
Definition *program_find(Ctx *ctx, const Program *program, Space space, Sym name, Span from);
/* The nearest known name of the space, or NULL. */
const char *program_nearest(Ctx *ctx, const Program *program, Space space, Sym name,
                            const char *const *others, uint32_t nothers);
const char *space_word(Space space);
Definition *program_model(Ctx *ctx, const Program *program, const char *name);

/* ---- check.c ----------------------------------------------------------------------------------
 */

/* Does the text of a definition lead to its own name? */
bool reaches_itself(Ctx *ctx, const Program *program, const Definition *definition);

/* ---- values -------------------------------------------------------------------------------- */

typedef struct Callable Callable;
typedef Vec(const char *) Names; /* for "did you mean" */

typedef enum ValueKind {
    VALUE_ERROR, /* reported already: whoever meets one says nothing */
    VALUE_TENSOR,
    VALUE_CALLABLE,
    VALUE_TEXT /* an argument such as "same", to be compared with others */
} ValueKind;

/* VALUE_TENSOR: element [at...] is `expr`; a number has rank 0. When the value is a tensor of the
 * module itself, `tensor` is it, and its subscripts are `hidden`, then `at`. */
typedef struct Value {
    ValueKind kind;
    uint32_t rank;
    Index **at;
    const Expr *expr;
    Tensor *tensor;
    uint32_t nhidden;
    const Expr **hidden;
    bool by_mode;  /* a constant that depends on `train` */
    bool is_truth; /* a tensor of truth values, stored as 0 and 1; expr is the BOOL */
    const Callable *callable;
    Sym text;
} Value;

typedef enum CallableKind {
    CALL_DEFINITION, /* a fn or a layer */
    CALL_OPERATION,  /* exp, max, … */
    CALL_WITH,       /* a layer with its other arguments given: dense(4) */
    CALL_COMPOSE     /* first, then second */
} CallableKind;

/* An argument as given: evaluated, with its place. */
typedef struct Argument {
    Sym name; /* NULL: positional */
    Span span;
    Value value;
} Argument;
typedef Vec(Argument) Arguments;

struct Callable {
    CallableKind kind;
    const Definition *definition;
    Op op;
    Arguments given; /* CALL_WITH */
    Sym path;        /* CALL_WITH: the name of the instance that all calls share */
    Span span;
    const Callable *first, *second;
};

/* ---- scopes -------------------------------------------------------------------------------- */

typedef struct Scope Scope;

typedef enum BindingState {
    BINDING_WAITS,
    BINDING_SHAPES,
    BINDING_RUNS,
    BINDING_DONE
} BindingState;

/* What a name stands for. Names assigned again inside a `repeat` have several, in order. */
typedef struct Binding {
    Sym name;
    Span span;
    Scope *scope;      /* in which it is evaluated */
    uint32_t position; /* statements are counted through the whole body, unrolled */
    const Tree *tree;  /* T_EQUATION or T_SIZE; NULL for what has a value from the start */
    BindingState state;
    Value value;            /* when DONE */
    Tensor *updates;        /* a state, and the equation that gives it its new value */
    struct Binding *update; /* of a state: that equation */
    bool is_used, is_output;
    /* an equation with indices, once its shape is known */
    bool has_shape;
    uint32_t rank;
    Index **at;
    struct Ranges *ranges; /* what was found out about the indices bound in it */
    Map values;            /* of calls that elements are taken of: evaluated once, however often the
                              shape is asked for */
    Tensor *early;         /* made before the body was evaluated: a recurrence */
    uint32_t nhidden;
    Index **hidden;
} Binding;

typedef struct Versions {
    Vec(Binding *) all;
    bool is_carried; /* assigned in a repeat: which one is meant depends on the position */
} Versions;

/* The names of the layers called in a body, and of its turns of repeats. */
typedef struct Instances {
    Map counters; /* Sym (layer) → how many were numbered */
    Map taken;    /* Sym: names in use */
} Instances;

struct Scope {
    struct Expander *x;
    Scope *up;         /* the scope around a turn of a repeat; NULL for a body */
    const char *path;  /* prefix of names: "" or "dense1." */
    const char *owner; /* in words: "model `m`", "layer `dense`" */
    bool is_library;
    Map names;               /* Sym → Versions* */
    Vec(Binding *) bindings; /* equations and sizes, in order */
    Instances *instances;    /* of the body */
    uint32_t *position;      /* of the body */
    Binding *last;           /* the last equation so far: a layer's value */
    Vec(Index *) around;     /* indices, but for the batch's, that arguments depend on */
    Index *batch;            /* that arguments depend on, or NULL */
    bool has_rest;           /* `..` stands for these dimensions */
    uint32_t nrest;
    int64_t *rest;
    bool is_refused; /* a `require` does not hold; of the body */
};

/* How a parameter or state starts: what is written behind `~` or `=`. */
typedef struct Initial {
    Tensor *tensor;
    const Tree *tree;
    Scope *scope;
} Initial;

/* ---- the expansion of one model in one mode ------------------------------------------------ */

typedef struct Expander {
    Ctx *ctx;
    Program *program;
    Model *model; /* NULL for an expression on its own */
    Module *m;
    bool train;
    const struct Expander *first; /* the expansion that declared all parameters and states, NULL
                                     in it */
    const SemaOptions *options;
    Scope *root;
    Vec(const Definition *) calls; /* being expanded, outermost first */
    Vec(Binding *) running;        /* bindings that wait for others, outermost first */
    bool is_incomplete;            /* a shape waits for another one that is being found out */
    int64_t fuel;                  /* expressions that may still be evaluated */
    uint32_t errors;               /* that were there before */
    const char *stack;             /* where it was when the expansion began */
    uint32_t next_site;
    Map pending; /* EX_DRAW → int64_t*: draws whose counter still lacks the position of its
                    equation; the number of draws per element */
    Vec(Initial) initials;
    Vec(struct Penalty *) penalties;
    Map leaves; /* Sym → Tensor*: params and states of this expansion */
    bool in_metric, in_optimizer;
    Vec(Tensor *) stats;
    Tensor *norm; /* of the gradients of all parameters, when an optimizer asks for it */
} Expander;

/* More expressions than any model that a machine could hold. */
#define EXPANSION_FUEL ((int64_t)2000000)
/* Used up, and told: everything comes to its end. */
#define NO_FUEL        ((int64_t)-2)

/* Index names bound around an expression, innermost first. */
typedef struct IndexEnv {
    const struct IndexEnv *up;
    Sym name;     /* NULL: the indices of `..` */
    Index *index; /* or */
    Index **rest;
    uint32_t nrest;
    const Value *value; /* a parameter in `sum[param w]` */
} IndexEnv;

/* Where an expression is evaluated. Passed by value; a field is changed in a copy. */
typedef struct Place {
    Expander *x;
    Scope *scope;
    uint32_t position;
    Binding *binding; /* the equation, or NULL */
    const IndexEnv *indices;
    struct Ranges *ranges;
    Index *batch;      /* the batch index that is meant here; NULL where there is no batch */
    bool is_size;      /* `/` rounds down */
    bool in_optimizer; /* `step`, `steps` and `norm` are known */
    const struct Known *known;
    const struct Bound *bound; /* indices of the reductions around, for draws */
    Sym instance;              /* the name for a layer value made here (`f = dense(4)`) */
} Place;

/* `sum[param w] …`: a number that is made when all parameters are known. */
typedef struct Penalty {
    Tensor *tensor;
    const Tree *tree;
    Place place;
} Penalty;

/* Conditions that hold where an expression stands. */
typedef struct Known {
    const struct Known *up;
    const Expr *condition;
} Known;

typedef struct Bound {
    const struct Bound *up;
    Index *const *indices;
    uint32_t n;
} Bound;

/* ---- expr.c -------------------------------------------------------------------------------- */

Value value_error(void);
Value value_of(const Expr *scalar);
Value value_tensor(Ctx *ctx, Tensor *tensor, uint32_t nhidden, const Expr *const *hidden);
Value value_callable(const Callable *callable);
bool value_is_word(const Value *v);        /* neither numbers nor an error: a function or a text */
bool value_is_constant(const Value *v);    /* a number or truth value known at compile time */
Value value_here(const Place *p, Value v); /* as it is read where a batch index is bound */
const char *value_shape(Ctx *ctx, const Value *v); /* "[3, 4]"; "a number"; "a function" */

Value eval(const Place *p, const Tree *tree);
/* One more step of the expansion. False, after one message, when there were too many. */
bool has_fuel(const Place *p, Span span);
/* Reports a name that is none of `names` and no function. */
Value unknown_name(Ctx *ctx, const Program *program, const Tree *tree, Names names);
/* One number or truth value for the indices bound here; NULL after a message. */
const Expr *eval_scalar(const Place *p, const Tree *tree);
/* A whole number known at compile time, `what` names it in messages. False after a message. */
bool eval_size(const Place *p, const Tree *tree, const char *what, int64_t *size);
bool size_of_value(const Place *p, const Value *v, Span span, const char *what, int64_t *size);
/* Applies an operation element by element. */
Value apply(const Place *p, Op op, Span span, const Value *args, const Span *spans, uint32_t n);
const Expr **known_list(const Place *p, uint32_t *n);
/* Makes every `sum[param w] …` met so far. */
void finish_penalties(Expander *x);
/* REAL or INT, or NULL after a message. */
const Expr *number_of(const Place *p, const Value *v, Span span);
bool tree_mentions(const Tree *tree, Sym name);
const char *tree_text(Ctx *ctx, const Tree *tree);

/* ---- element.c ------------------------------------------------------------------------------ */

/* base[subs], with `otherwise` (may be NULL) for what lies outside. */
Value eval_element(const Place *p, const Tree *indexed, const Tree *otherwise);
/* False, with a message unless it is an error already, for what has no elements. */
bool has_elements(const Place *p, const Tree *base, const Value *v);
/* The element of a value at subscripts that are known to be inside. */
const Expr *element_at(Ctx *ctx, const Value *v, const Expr *const *subs);
Value eval_draw(const Place *p, DrawKind kind, Span span);
/* Gives the draws in `e` their place in an equation over these indices. */
const Expr *place_draws(Expander *x, const Expr *e, Index *const *free, uint32_t n);

/* ---- ranges.c ------------------------------------------------------------------------------- */

typedef struct Ranges Ranges;
/* The ranges of all indices bound in the expression, and of `left` (T_BINDER and T_REST of an
 * equation; indices are then made in *at, *rank). NULL after a message. `like` (may be NULL): the
 * dimensions that the left side must have. */
Ranges *infer_ranges(const Place *p, const Tree *expression, const TreeList *left,
                     const Tensor *like, Index ***at, uint32_t *rank);
/* A wrong number of subscripts. */
void report_count(Ctx *ctx, const Tree *indexed, uint32_t rank, const char *shape, uint32_t given);
/* The extent of an index bound by a reduction; false when it was not found (reported). */
bool range_of(const Ranges *ranges, const Tree *binder, int64_t *extent);
/* The value of what elements are taken of, where finding the ranges needed it already. */
bool range_value(const Ranges *ranges, const Tree *base, Value *value);

/* ---- define.c ------------------------------------------------------------------------------- */

/* A local tensor whose element at `at` is `expr`; more dimensions come in front for the batch and
 * other indices that the expression depends on. `early`: the tensor made before, or NULL. */
Value define_tensor(const Place *p, const char *name, Index *const *at, uint32_t rank,
                    const Expr *expr, Span span, Binding *early);
/* The equation of a tensor of rank 0 that was made before. */
void define_number(Expander *x, Tensor *tensor, const Expr *expr, Span span);
/* Makes a tensor of a value that is an expression. */
Value materialise(const Place *p, Value v, const char *name, Span span);
/* The tensor of a recurrence, before its equation is evaluated. */
void define_early(const Place *p, Binding *b);
bool check_dims(Ctx *ctx, Span span, const char *name, const int64_t *dims, uint32_t rank);

/* ---- scope.c -------------------------------------------------------------------------------- */

Scope *scope_new(Expander *x, Scope *up, const char *path, const char *owner, bool is_library);
Binding *scope_bind(Scope *scope, Sym name, Span span, Value value);
/* Enters the statements of a body; then every binding is evaluated, in order. */
void scope_enter(const Place *p, const TreeList *statements);
void scope_run(Scope *scope);
/* What a name means at a position; NULL when it is none of the body's. */
Binding *scope_find(const Scope *scope, Sym name, uint32_t position);
/* The value of a binding, evaluating it when it is the first to ask. */
Value binding_value(const Place *p, Binding *b, Span from);
/* The dimensions, if they are known or can be found out; false without a message. */
bool binding_shape(Expander *x, Binding *b, uint32_t *rank, const int64_t **dims);
Place place_in(Scope *scope, uint32_t position);
/* Names of a scope for "did you mean". */
void scope_names(const Scope *scope, Ctx *ctx, Names *names);
/* The path of a new instance, "dense1.": numbered in the body around, or named if the name is
 * free. */
const char *scope_instance(const Scope *scope, Sym name);
const char *scope_named_instance(const Scope *scope, Sym name);
/* May the name be bound here? A name is bound once in a body, but for what a `repeat` carries on.
 * False after a message. */
bool scope_is_free(Scope *scope, Sym name, Span span);
/* `batch` names the index over the examples and nothing else: true after a message. */
bool is_batch_name(Ctx *ctx, Sym name, Span span);

/* ---- leaves.c ------------------------------------------------------------------------------- */

/* The statements `param …` and `state …` of a body. */
void enter_params(const Place *p, const Tree *tree);
void enter_states(const Place *p, const Tree *tree);
/* Declares a parameter or state of the model, or finds it where its layer is shared. NULL after a
 * message. */
Tensor *declare_leaf(const Place *p, TensorKind kind, const Tree *decl, const Tree *init,
                     const int64_t *dims, uint32_t rank);
const char *dims_text(Ctx *ctx, const int64_t *dims, uint32_t rank); /* "[3, 4]" */

/* ---- call.c --------------------------------------------------------------------------------- */

Value eval_call(const Place *p, const Tree *call, const Value *first, Span first_span);
Value call_value(const Place *p, const Callable *callable, Arguments args, Span span);
/* A layer with its other arguments: one set of parameters for all calls, named by the equation that
 * it is the value of. */
Value layer_value(const Place *p, const Definition *definition, Arguments args, Span span);
bool find_operation(const char *name, Op *op);
const Callable *callable_definition(Ctx *ctx, const Definition *definition);
/* Binds arguments to the parameters of a definition in a new scope, with the tensors in front.
 * NULL after a message. */
Scope *bind_arguments(const Place *p, const Definition *definition, const Arguments *args,
                      Span span, const char *path);
Arguments eval_arguments(const Place *p, const TreeList *args);
/* Evaluates a body (`= value` or `{ … }`) in the scope of its arguments. */
Value run_body(const Place *p, const Definition *definition, Scope *scope);
bool enter_call(const Place *p, const Definition *definition, Span span);
void leave_call(Expander *x);

/* ---- model.c ----------------------------------------------------------------------------------
 */

bool has_failed(const Expander *x);
/* The mean over the batch of a number for an example; of what is the same for all, itself. */
const Expr *mean_over_batch(Expander *x, const Expr *e);

/* ---- optimizer.c, initial.c, metric.c -------------------------------------------------------- */

/* The updates of all parameters by the optimizer that is called. */
void expand_optimizer(Expander *x, const Tree *use);
/* The length of the gradient of all parameters together. */
Value optimizer_norm(const Place *p, Span span);
/* `init`: an expansion whose module gets the initial values of what `x` declared. */
void expand_initials(Expander *init, const Expander *x);
/* All metrics that are used; fills model->metrics, nstats, finish. */
void expand_metrics(Expander *x, const TreeList *uses);
/* A mean over the batch inside a metric, as a statistic. */
Value metric_statistic(const Place *p, const Tree *reduce, const Expr *mean);
/* ---- data.c ---------------------------------------------------------------------------------- */

/* Every data and train block, as far as can be said without opening a file. */
void check_data(Ctx *ctx, Program *program);

#endif
