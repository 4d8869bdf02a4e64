/* syntax/tree.h: the syntax tree: what was written, nothing more.
 *
 * Nodes live in the compilation's arena and are immutable once parsed. A node that could not be
 * parsed is T_ERROR: whoever meets one says nothing, the parser already has.
 */
#ifndef DLC_SYNTAX_TREE_H
#define DLC_SYNTAX_TREE_H

#include "support/ctx.h"

typedef enum TreeKind {
#define TREE(kind, payload, word) kind,
#include "syntax/tree.def"
#undef TREE
    TREE_KINDS
} TreeKind;

/* Operators of T_UNARY, T_BINARY. */
typedef enum Operator {
    OPR_ADD,
    OPR_SUB,
    OPR_MUL,
    OPR_DIV,
    OPR_MOD,
    OPR_POW,
    OPR_EQ,
    OPR_NE,
    OPR_LT,
    OPR_LE,
    OPR_GT,
    OPR_GE,
    OPR_AND,
    OPR_OR,
    OPR_NOT,
    OPR_NEG,
} Operator;

/* Reduction words; also the words of the reductions in ir.h, in the same order. */
typedef enum ReduceWord {
    RED_SUM,
    RED_MEAN,
    RED_MAX,
    RED_MIN,
    RED_PROD,
    RED_ARGMAX,
    RED_ARGMIN
} ReduceWord;

typedef struct Tree Tree;
typedef struct TreeList {
    Tree **at;
    uint32_t len, cap;
} TreeList;

struct Tree {
    TreeKind kind;
    Span span;
    uint32_t depth; /* of an expression: levels below it */
    union {
        struct {
            TreeList items;
        } file;
        /* fn, layer, optimizer, metric, init, model, data. `value` is set for the `= expression`
         * form, `body` for the `{ … }` form; a model and data have no params. */
        struct {
            Sym name;
            Span name_span;
            TreeList params; /* T_DECL */
            TreeList body;   /* statements */
            Tree *value;
            const char *doc; /* the comment lines right above the item, without `#`; or NULL */
        } def;
        struct {
            Sym model, data;
            Span model_span, data_span;
            TreeList settings; /* T_ARG, all named */
        } train;
        /* A declared name: a parameter of a definition, an input, a param, a state.
         *   x[.., I]          has_dims, dims = {T_REST, T_NAME I}
         *   t[..]: class(V)   class_size = V
         *   stride: 1         value = 1 (a default)         state m = 0: value = 0
         */
        struct {
            Sym name;
            bool has_dims;
            TreeList dims;
            Tree *class_size;
            Tree *value;
        } decl;
        struct {
            TreeList items; /* T_DECL, T_NAME, T_ARG or expressions, as the statement has it;
                               T_REQUIRE: a condition and a T_STRING */
        } list;
        struct {
            TreeList decls;
            Tree *init;          /* T_NAME or T_CALL after `~` */
            TreeList attributes; /* T_ARG after the initialiser: decay: false */
        } param;
        /* size N = value; T_ARG name: value (name NULL when positional; value NULL for the
         * `in_order` of a split); T_SOURCE: the role
         * ("source", "train", "valid" or "test") and a T_CALL of a reader. */
        struct {
            Sym name;
            Span name_span;
            Tree *value;
        } named;
        /* y[i, j < n, ..] = value.  subs: T_BINDER or T_REST. `output y = …` sets is_output. */
        struct {
            Sym name;
            Span name_span;
            bool has_subs;
            TreeList subs;
            Tree *value;
            bool is_output;
        } equation;
        struct {
            Tree *value;
        } unary;
        struct {
            Tree *count;
            TreeList body;
        } repeat;
        /* x from 1..4, "age", onehot("place"): T_NUMBER, T_STRING, T_RANGE or T_CALL */
        struct {
            Sym name;
            Span name_span;
            TreeList columns;
        } columns;
        struct {
            double value;
            bool is_integer;  /* written without point or exponent */
            const char *text; /* as written */
        } number;
        struct {
            const char *value; /* escapes resolved */
        } text;
        bool boolean;
        Sym name;
        struct {
            Tree *base;    /* T_NAME, T_CALL or a parenthesised expression */
            TreeList subs; /* expressions or T_REST */
        } indexed;
        struct {
            Tree *callee;
            TreeList args; /* T_ARG */
        } call;
        /* T_UNARY: a. T_BINARY, T_PIPE, T_RANGE: a, b. T_ELSE: `a else b`, a is T_INDEXED. */
        struct {
            Operator op;
            Tree *a, *b;
        } op;
        struct {
            Tree *condition, *then, *otherwise;
        } choice;
        struct {
            ReduceWord word;
            TreeList binders; /* T_BINDER or T_REST */
            Tree *body;
        } reduce;
        /* i, i < n; over_params for `sum[param w] …` */
        struct {
            Sym name;
            Tree *bound; /* NULL when to be inferred */
            bool over_params;
        } binder;
    };
};

const char *tree_word(TreeKind kind);
const char *operator_text(Operator op);
const char *reduce_text(ReduceWord word);

#endif
