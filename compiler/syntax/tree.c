/* syntax/tree.c: constructors of tree nodes: names and texts are taken out of the source here. */
#include "syntax/private.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *tree_word(TreeKind kind) {
    static const char *const words[] = {
#define TREE(kind, payload, word) word,
#include "syntax/tree.def"
#undef TREE
    };
    return kind < TREE_KINDS ? words[kind] : "?";
}

const char *operator_text(Operator op) {
    static const char *const texts[] = {
        "+", "-", "*", "/", "%", "^", "==", "!=", "<", "<=", ">", ">=", "and", "or", "not", "-"};
    return texts[op];
}

const char *reduce_text(ReduceWord word) {
    static const char *const texts[] = {"sum", "mean", "max", "min", "prod", "argmax", "argmin"};
    return texts[word];
}

const char *token_text(const Parser *p, Span span, uint32_t *length) {
    if (span.begin < p->source->begin || span.end < span.begin) return *length = 0, "";
    *length = span.end - span.begin;
    return p->source->text + (span.begin - p->source->begin);
}

Sym tree_sym(Parser *p, Span span) {
    uint32_t length;
    const char *text = token_text(p, span, &length);
    return sym_n(p->ctx, text, length);
}

static Tree *new_tree(Parser *p, TreeKind kind, Span span) {
    Tree *tree = ARENA_NEW(p->ctx->arena, Tree);
    tree->kind = kind;
    tree->span = span;
    return tree;
}

/* An expression one level above its parts; too many levels become an error node, so that nothing
 * that walks the tree can run out of stack. */
static Tree *deeper(Parser *p, Tree *tree, const Tree *a, const Tree *b, const Tree *c) {
    uint32_t depth = 0;
    const Tree *parts[] = {a, b, c};
    for (int i = 0; i < 3; i++)
        if (parts[i] && parts[i]->depth > depth) depth = parts[i]->depth;
    tree->depth = depth + 1;
    if (tree->depth <= MAX_TREE_DEPTH) return tree;
    diag_error(p->ctx, (Span){tree->span.begin, tree->span.begin + 1},
               "this expression is nested too deeply (more than %d levels)", MAX_TREE_DEPTH);
    return new_tree(p, T_ERROR, tree->span);
}

static Tree *deeper_list(Parser *p, Tree *tree, const Tree *a, TreeList list) {
    const Tree *deepest = a;
    for (uint32_t i = 0; i < list.len; i++)
        if (!deepest || list.at[i]->depth > deepest->depth) deepest = list.at[i];
    return deeper(p, tree, deepest, NULL, NULL);
}

TreeList tree_list(Parser *p, TreeList list, Tree *item) {
    vec_push(p->ctx->arena, &list, item);
    return list;
}

Tree *tree_plain(Parser *p, TreeKind kind, Span span) {
    return new_tree(p, kind, span);
}

Tree *tree_file(Parser *p, TreeList items) {
    Tree *tree =
        new_tree(p, T_FILE, (Span){p->source->begin, p->source->begin + p->source->length});
    tree->file.items = items;
    return tree;
}

/* ---- texts -------------------------------------------------------------------------------------
 */

static const char *unescape(Parser *p, Span span) {
    uint32_t length;
    const char *text = token_text(p, span, &length);
    char *out = arena_alloc(p->ctx->arena, length + 1);
    uint32_t n = 0;
    for (uint32_t i = 1; i < length && text[i] != '"'; i++) {
        if (text[i] != '\\' || i + 1 >= length) {
            out[n++] = text[i];
            continue;
        }
        char c = text[++i];
        out[n++] = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        if (c != 'n' && c != 't' && c != '"' && c != '\\')
            diag_error(p->ctx, (Span){span.begin + i - 1, span.begin + i + 1},
                       "`\\%c` means nothing in a string; there are \\n, \\t, \\\" and \\\\", c);
    }
    return out;
}

Tree *tree_string(Parser *p, Span span) {
    Tree *tree = new_tree(p, T_STRING, span);
    tree->text.value = unescape(p, span);
    return tree;
}

Tree *tree_import(Parser *p, Span span, Span string) {
    uint32_t length;
    const char *text = token_text(p, string, &length);
    bool closed = length > 1 && text[length - 1] == '"'; /* else reported by the lexer */
    Tree *tree = new_tree(p, closed ? T_IMPORT : T_ERROR, span);
    if (!closed) return tree;
    tree->text.value = unescape(p, string);
    return tree;
}

Tree *tree_number(Parser *p, Span span) {
    uint32_t length;
    const char *text = token_text(p, span, &length);
    Tree *tree = new_tree(p, T_NUMBER, span);
    char *copy = arena_strndup(p->ctx->arena, text, length);
    tree->number.text = copy;
    tree->number.value = strtod(copy, NULL);
    tree->number.is_integer = strspn(copy, "0123456789") == length;
    if (isinf(tree->number.value))
        diag_error(p->ctx, span, "the number %.40s is too large; the largest is about 1.8e308",
                   copy);
    else if (tree->number.is_integer && tree->number.value > 9007199254740992.0)
        diag_error(p->ctx, span, "the whole number %.40s is too large to be exact", copy);
    return tree;
}

Tree *tree_bool(Parser *p, Span span, bool value) {
    Tree *tree = new_tree(p, T_BOOL, span);
    tree->boolean = value;
    return tree;
}

Tree *tree_name(Parser *p, Span span) {
    Tree *tree = new_tree(p, T_NAME, span);
    tree->name = tree_sym(p, span);
    return tree;
}

/* ---- items and statements
 * ------------------------------------------------------------------------ */

/* Nothing but one line's end between two places. */
static bool next_line(const Source *source, uint32_t from, uint32_t to) {
    uint32_t newlines = 0;
    for (uint32_t i = from; i < to; i++) {
        char c = source->text[i - source->begin];
        if (c == '\n' ? ++newlines > 1 : c != ' ' && c != '\t' && c != '\r') return false;
    }
    return newlines == 1;
}

/* The comment lines right above an item, without their `#`. */
static const char *doc_above(Parser *p, Span span) {
    const SyntaxFile *file = p->file;
    uint32_t last = 0, high = file->comments.len; /* comments before `last` stand above */
    while (last < high) {
        uint32_t middle = last + (high - last) / 2;
        if (file->comments.at[middle].span.begin < span.begin)
            last = middle + 1;
        else
            high = middle;
    }
    uint32_t first = last, below = span.begin;
    while (first > 0 && file->comments.at[first - 1].alone &&
           next_line(p->source, file->comments.at[first - 1].span.end, below))
        below = file->comments.at[--first].span.begin;
    if (first == last) return NULL;
    Text doc = text_new(p->ctx->arena);
    for (uint32_t i = first; i < last; i++) {
        uint32_t length;
        const char *text = token_text(p, file->comments.at[i].span, &length);
        uint32_t skip = length > 1 && text[1] == ' ' ? 2 : 1;
        text_putn(&doc, text + skip, length - skip);
        if (i + 1 < last) text_put(&doc, "\n");
    }
    return text_string(&doc);
}

Tree *tree_def(Parser *p, TreeKind kind, Span span, Span name, TreeList params, TreeList body,
               Tree *value) {
    Tree *tree = new_tree(p, kind, span);
    tree->def.name = tree_sym(p, name);
    tree->def.name_span = name;
    tree->def.params = params;
    tree->def.body = body;
    tree->def.value = value;
    tree->def.doc = doc_above(p, span);
    return tree;
}

Tree *tree_train(Parser *p, Span span, Span model, Span data, TreeList settings) {
    Tree *tree = new_tree(p, T_TRAIN, span);
    tree->train.model = tree_sym(p, model);
    tree->train.data = tree_sym(p, data);
    tree->train.model_span = model;
    tree->train.data_span = data;
    tree->train.settings = settings;
    return tree;
}

/* What stands behind the colon of a parameter is a class type or a default. */
Tree *tree_decl(Parser *p, Span span, Span name, bool has_dims, TreeList dims, Tree *type,
                Tree *value) {
    Tree *tree = new_tree(p, T_DECL, span);
    tree->decl.name = tree_sym(p, name);
    tree->decl.has_dims = has_dims;
    tree->decl.dims = dims;
    tree->decl.value = value;
    if (!type) return tree;
    bool class = type->kind == T_CALL && type->call.callee->kind == T_NAME &&
                 strcmp(type->call.callee->name, "class") == 0;
    if (class && type->call.args.len == 1)
        tree->decl.class_size = type->call.args.at[0]->named.value;
    else if (class)
        diag_error(p->ctx, type->span, "class wants one number: how many classes there are");
    else
        tree->decl.value = type;
    return tree;
}

Tree *tree_of_list(Parser *p, TreeKind kind, Span span, TreeList items) {
    Tree *tree = new_tree(p, kind, span);
    tree->list.items = items;
    for (uint32_t i = 0; (kind == T_INPUT || kind == T_TARGET) && i < items.len; i++) {
        const Tree *value = items.at[i]->decl.value;
        if (!value) continue;
        diag_error(p->ctx, value->span, "only `class(…)` can stand behind the `:` of an %s",
                   tree_word(kind));
        items.at[i]->decl.value = NULL;
    }
    return tree;
}

/* What stands where only the name or the call of a definition may. */
static Tree *named_call(Parser *p, Tree *tree, bool call, const char *wanted) {
    const Tree *callee = tree->kind == T_CALL ? tree->call.callee : call ? NULL : tree;
    if (tree->kind == T_ERROR || (callee && callee->kind == T_NAME)) return tree;
    diag_error(p->ctx, tree->span, "expected %s", wanted);
    return tree_plain(p, T_ERROR, tree->span);
}

Tree *tree_param(Parser *p, Span span, TreeList decls, Tree *init, TreeList attributes) {
    Tree *tree = new_tree(p, T_PARAM, span);
    tree->param.decls = decls;
    tree->param.init =
        named_call(p, init, false, "an initialiser, as in `~ zeros` or `~ constant(0.5)`");
    tree->param.attributes = attributes;
    return tree;
}

Tree *tree_named(Parser *p, TreeKind kind, Span span, Span name, Tree *value) {
    Tree *tree = new_tree(p, kind, span);
    tree->named.name = name.begin ? tree_sym(p, name) : NULL;
    tree->named.name_span = name;
    if (kind == T_SOURCE)
        value = named_call(p, value, true, "a reader of files, as in `csv(\"file.csv\")`");
    tree->named.value = value;
    return deeper(p, tree, value, NULL, NULL);
}

Tree *tree_equation(Parser *p, Span span, Span name, bool has_subs, TreeList subs, Tree *value,
                    bool is_output) {
    Tree *tree = new_tree(p, T_EQUATION, span);
    tree->equation.name = tree_sym(p, name);
    tree->equation.name_span = name;
    tree->equation.has_subs = has_subs;
    tree->equation.subs = subs;
    tree->equation.value = value;
    tree->equation.is_output = is_output;
    return tree;
}

Tree *tree_unary_statement(Parser *p, TreeKind kind, Span span, Tree *value) {
    Tree *tree = new_tree(p, kind, span);
    tree->unary.value = value;
    return tree;
}

Tree *tree_optimizer(Parser *p, Tree *call) {
    return named_call(p, call, false, "an optimizer, as in `adam(lr: 1e-3)`");
}

Tree *tree_repeat(Parser *p, Span span, Tree *count, TreeList body) {
    Tree *tree = new_tree(p, T_REPEAT, span);
    tree->repeat.count = count;
    tree->repeat.body = body;
    return tree;
}

Tree *tree_columns(Parser *p, Span span, Span name, TreeList columns) {
    Tree *tree = new_tree(p, T_COLUMNS, span);
    tree->columns.name = tree_sym(p, name);
    tree->columns.name_span = name;
    tree->columns.columns = columns;
    return tree;
}

/* ---- expressions
 * ------------------------------------------------------------------------------------ */

Tree *tree_indexed(Parser *p, Span span, Tree *base, TreeList subs) {
    Tree *tree = new_tree(p, T_INDEXED, span);
    tree->indexed.base = base;
    tree->indexed.subs = subs;
    return deeper_list(p, tree, base, subs);
}

Tree *tree_call(Parser *p, Span span, Tree *callee, TreeList args) {
    Tree *tree = new_tree(p, T_CALL, span);
    tree->call.callee = callee;
    tree->call.args = args;
    return deeper_list(p, tree, callee, args);
}

Tree *tree_op(Parser *p, TreeKind kind, Span span, Operator op, Tree *a, Tree *b) {
    Tree *tree = new_tree(p, kind, span);
    tree->op.op = op;
    tree->op.a = a;
    tree->op.b = b;
    return deeper(p, tree, a, b, NULL);
}

Tree *tree_choice(Parser *p, Span span, Tree *condition, Tree *then, Tree *otherwise) {
    Tree *tree = new_tree(p, T_IF, span);
    tree->choice.condition = condition;
    tree->choice.then = then;
    tree->choice.otherwise = otherwise;
    return deeper(p, tree, condition, then, otherwise);
}

Tree *tree_else(Parser *p, Span span, Tree *read, Tree *otherwise) {
    if (read->kind != T_INDEXED && read->kind != T_ERROR) {
        Diag *d = diag_error(p->ctx, read->span,
                             "`else` without `if` stands behind an element of a tensor only");
        diag_help(p->ctx, d,
                  "as in `x[i - 1] else 0`; a choice is written `if condition then a else b`");
        return new_tree(p, T_ERROR, span);
    }
    return tree_op(p, T_ELSE, span, OPR_OR, read, otherwise);
}

Tree *tree_reduce(Parser *p, Span span, Span word, TreeList binders, Tree *body) {
    Tree *tree = new_tree(p, T_REDUCE, span);
    Sym name = tree_sym(p, word);
    for (int w = RED_SUM; w <= RED_ARGMIN; w++)
        if (strcmp(reduce_text((ReduceWord)w), name) == 0) tree->reduce.word = (ReduceWord)w;
    tree->reduce.binders = binders;
    tree->reduce.body = body;
    return deeper(p, tree, body, NULL, NULL);
}

Tree *tree_binder(Parser *p, Span span, Span name, Tree *bound, bool over_params) {
    Tree *tree = new_tree(p, T_BINDER, span);
    tree->binder.name = tree_sym(p, name);
    tree->binder.bound = bound;
    tree->binder.over_params = over_params;
    return tree;
}
