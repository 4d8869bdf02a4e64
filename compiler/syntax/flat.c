/* syntax/flat.c: trees as single lines of text, with the places where a line may be broken.
 *
 * Parentheses are written where the grammar needs them and nowhere else. A break stands where a
 * newline does not end a statement: inside brackets, behind an operator, before `->`, `then`,
 * `else`.
 */
#include "syntax/private.h"

#include <string.h>

/* How tightly an expression holds together, loosest first; named like the rules of grammar/dl.y. */
typedef enum Level {
    LEVEL_EXPR,
    LEVEL_VALUE, /* a pipe */
    LEVEL_IF,
    LEVEL_OR,
    LEVEL_AND,
    LEVEL_NOT,
    LEVEL_COMPARISON,
    LEVEL_SUM,
    LEVEL_PRODUCT, /* may end in a reduction, which takes all that is multiplied behind it */
    LEVEL_CHAIN,
    LEVEL_UNARY,
    LEVEL_POWER,
    LEVEL_POSTFIX
} Level;

static void put_level(Flat *flat, const Tree *tree, Level at_least, uint32_t depth);

Flat flat_new(Arena *arena, const Source *source) {
    return (Flat){.text = text_new(arena), .source = source};
}

static void put(Flat *flat, const char *text) {
    text_put(&flat->text, text);
}

/* A space that may become a newline. */
static void put_break(Flat *flat, uint32_t depth) {
    Break brk = {.at = flat->text.len, .depth = depth};
    vec_push(flat->text.arena, &flat->breaks, brk);
    put(flat, " ");
}

static void pad(Flat *flat, size_t from, uint32_t width) {
    while (flat->text.len < from + width) put(flat, " ");
}

void print_string(Text *out, const char *text) {
    text_put(out, "\"");
    for (const char *c = text; *c; c++) {
        const char *escape = *c == '"' ? "\\\"" : *c == '\\' ? "\\\\" : *c == '\n' ? "\\n" : NULL;
        if (*c == '\t') escape = "\\t";
        if (escape)
            text_put(out, escape);
        else
            text_putn(out, c, 1);
    }
    text_put(out, "\"");
}

/* ---- expressions -------------------------------------------------------------------------- */

static bool is_negation(const Tree *tree) {
    return tree->kind == T_UNARY && tree->op.op == OPR_NEG;
}

/* A reduction, perhaps with signs before it. */
static bool is_reduced(const Tree *tree) {
    while (is_negation(tree)) tree = tree->op.a;
    return tree->kind == T_REDUCE;
}

static Level binary_level(const Tree *tree) {
    switch (tree->op.op) {
    case OPR_ADD:
    case OPR_SUB: return LEVEL_SUM;
    case OPR_MUL:
    case OPR_DIV:
    case OPR_MOD: return is_reduced(tree->op.b) ? LEVEL_PRODUCT : LEVEL_CHAIN;
    case OPR_POW: return LEVEL_POWER;
    case OPR_EQ:
    case OPR_NE:
    case OPR_LT:
    case OPR_LE:
    case OPR_GT:
    case OPR_GE: return LEVEL_COMPARISON;
    case OPR_AND: return LEVEL_AND;
    case OPR_OR: return LEVEL_OR;
    case OPR_NOT: return LEVEL_NOT;
    case OPR_NEG: return LEVEL_UNARY;
    }
    return LEVEL_EXPR;
}

static Level level_of(const Tree *tree) {
    switch (tree->kind) {
    case T_ELSE: return LEVEL_EXPR;
    case T_PIPE: return LEVEL_VALUE;
    case T_IF: return LEVEL_IF;
    case T_BINARY: return binary_level(tree);
    case T_UNARY:
        if (tree->op.op == OPR_NOT) return LEVEL_NOT;
        return is_reduced(tree) ? LEVEL_PRODUCT : LEVEL_UNARY;
    case T_REDUCE: return LEVEL_PRODUCT;
    default: return LEVEL_POSTFIX;
    }
}

/* `max` alone is a name only where it is an argument; elsewhere in parentheses. */
static bool is_reduce_name(const Tree *tree) {
    if (tree->kind != T_NAME) return false;
    for (int word = RED_SUM; word <= RED_ARGMIN; word++)
        if (strcmp(reduce_text((ReduceWord)word), tree->name) == 0) return true;
    return false;
}

static void put_list(Flat *flat, TreeList list, uint32_t depth,
                     void (*item)(Flat *, const Tree *, uint32_t)) {
    for (uint32_t i = 0; i < list.len; i++) {
        if (i) {
            put(flat, ",");
            put_break(flat, depth);
        }
        item(flat, list.at[i], depth + 1);
    }
}

static void put_argument(Flat *flat, const Tree *tree, uint32_t depth) {
    if (tree->kind == T_ARG && tree->named.name) {
        put(flat, tree->named.name);
        put(flat, ": ");
    }
    const Tree *value = tree->kind == T_ARG ? tree->named.value : tree;
    if (is_reduce_name(value))
        put(flat, value->name);
    else
        put_level(flat, value, LEVEL_EXPR, depth);
}

static void put_subscript(Flat *flat, const Tree *tree, uint32_t depth) {
    put_level(flat, tree, LEVEL_VALUE, depth);
}

static void put_subscripts(Flat *flat, TreeList list, uint32_t depth) {
    put(flat, "[");
    flat->brackets++;
    put_list(flat, list, depth, put_subscript);
    flat->brackets--;
    put(flat, "]");
}

static void put_call(Flat *flat, const Tree *tree, uint32_t depth) {
    if (is_reduce_name(tree->call.callee))
        put(flat, tree->call.callee->name);
    else
        put_level(flat, tree->call.callee, LEVEL_POSTFIX, depth);
    put(flat, "(");
    uint32_t brackets = flat->brackets;
    flat->brackets = 0;
    put_list(flat, tree->call.args, depth + 1, put_argument);
    flat->brackets = brackets;
    put(flat, ")");
}

static bool newline_between(const Source *source, uint32_t from, uint32_t to) {
    for (uint32_t i = from; source && i < to; i++)
        if (source->text[i - source->begin] == '\n') return true;
    return false;
}

/* Only the pipe that is the whole value of a statement keeps its lines: depth 0. */
static void put_pipe(Flat *flat, const Tree *tree, uint32_t depth) {
    put_level(flat, tree->op.a, LEVEL_VALUE, tree->op.a->kind == T_PIPE ? depth : depth + 1);
    put_break(flat, depth);
    if (depth == 0) {
        Break *brk = &flat->breaks.at[flat->breaks.len - 1];
        brk->arrow = true;
        brk->source_at = tree->op.b->span.begin;
        brk->forced = newline_between(flat->source, tree->op.a->span.end, tree->op.b->span.begin);
    }
    put(flat, "-> ");
    put_level(flat, tree->op.b, LEVEL_POSTFIX, depth + 1);
}

/* 2^-x^2 is 2^(-(x^2)). */
static void put_exponent(Flat *flat, const Tree *tree, uint32_t depth) {
    while (is_negation(tree)) {
        put(flat, "-");
        tree = tree->op.a;
    }
    put_level(flat, tree, LEVEL_POWER, depth);
}

static void put_binary(Flat *flat, const Tree *tree, uint32_t depth) {
    Level level = binary_level(tree), left = level, right = level + 1;
    if (level == LEVEL_POWER) {
        put_level(flat, tree->op.a, LEVEL_POSTFIX, depth);
        put(flat, "^");
        put_exponent(flat, tree->op.b, depth);
        return;
    }
    if (level == LEVEL_PRODUCT) left = LEVEL_CHAIN, right = LEVEL_PRODUCT;
    if (level == LEVEL_CHAIN) right = LEVEL_UNARY;
    if (level == LEVEL_COMPARISON) left = right = LEVEL_SUM;
    /* The operators of one chain are equally good places to break. */
    bool chain = tree->op.a->kind == T_BINARY && level_of(tree->op.a) == left && left == level;
    bool product = level == LEVEL_PRODUCT || level == LEVEL_CHAIN;
    put_level(flat, tree->op.a, left, chain ? depth : depth + 1);
    if (product && flat->brackets) {
        put(flat, operator_text(tree->op.op));
    } else {
        put(flat, " ");
        put(flat, operator_text(tree->op.op));
        put_break(flat, depth + (product ? 4 : 1));
    }
    put_level(flat, tree->op.b, right, depth + 1);
}

static void put_unary(Flat *flat, const Tree *tree, uint32_t depth) {
    if (tree->op.op == OPR_NOT) {
        put(flat, "not ");
        put_level(flat, tree->op.a, LEVEL_NOT, depth);
    } else {
        put(flat, "-");
        put_level(flat, tree->op.a, is_reduced(tree->op.a) ? LEVEL_PRODUCT : LEVEL_UNARY, depth);
    }
}

static void put_if(Flat *flat, const Tree *tree, uint32_t depth) {
    put(flat, "if ");
    put_level(flat, tree->choice.condition, LEVEL_VALUE, depth + 2);
    put_break(flat, depth + 1);
    put(flat, "then ");
    put_level(flat, tree->choice.then, LEVEL_VALUE, depth + 2);
    put_break(flat, depth + 1);
    put(flat, "else ");
    put_level(flat, tree->choice.otherwise, LEVEL_IF,
              tree->choice.otherwise->kind == T_IF ? depth : depth + 2);
}

static void put_binder(Flat *flat, const Tree *tree, uint32_t depth) {
    if (tree->kind != T_BINDER) {
        put_level(flat, tree, LEVEL_VALUE, depth);
        return;
    }
    if (tree->binder.over_params) put(flat, "param ");
    put(flat, tree->binder.name);
    if (!tree->binder.bound) return;
    put(flat, " < ");
    put_level(flat, tree->binder.bound, LEVEL_SUM, depth);
}

static void put_reduction(Flat *flat, const Tree *tree, uint32_t depth) {
    put(flat, reduce_text(tree->reduce.word));
    put(flat, "[");
    flat->brackets++;
    put_list(flat, tree->reduce.binders, depth + 6, put_binder);
    flat->brackets--;
    put(flat, "] ");
    put_level(flat, tree->reduce.body, LEVEL_PRODUCT, depth + 1);
}

static void put_plain(Flat *flat, const Tree *tree, uint32_t depth) {
    switch (tree->kind) {
    case T_NUMBER: put(flat, tree->number.text); return;
    case T_STRING: print_string(&flat->text, tree->text.value); return;
    case T_BOOL: put(flat, tree->boolean ? "true" : "false"); return;
    case T_NAME: text_printf(&flat->text, is_reduce_name(tree) ? "(%s)" : "%s", tree->name); return;
    case T_REST: put(flat, ".."); return;
    case T_INDEXED:
        put_level(flat, tree->indexed.base, LEVEL_POSTFIX, depth);
        put_subscripts(flat, tree->indexed.subs, depth + 6);
        return;
    case T_CALL: put_call(flat, tree, depth); return;
    case T_ARG: put_argument(flat, tree, depth); return;
    case T_UNARY: put_unary(flat, tree, depth); return;
    case T_BINARY: put_binary(flat, tree, depth); return;
    case T_IF: put_if(flat, tree, depth); return;
    case T_ELSE:
        put_level(flat, tree->op.a, LEVEL_POSTFIX, depth + 1);
        put_break(flat, depth + 1);
        put(flat, "else ");
        put_level(flat, tree->op.b, LEVEL_EXPR, depth + 1);
        return;
    case T_REDUCE: put_reduction(flat, tree, depth); return;
    case T_PIPE: put_pipe(flat, tree, depth); return;
    case T_BINDER: put_binder(flat, tree, depth); return;
    case T_RANGE:
        put_level(flat, tree->op.a, LEVEL_POSTFIX, depth);
        put(flat, "..");
        put_level(flat, tree->op.b, LEVEL_POSTFIX, depth);
        return;
    default: put(flat, "<error>"); return;
    }
}

static void put_level(Flat *flat, const Tree *tree, Level at_least, uint32_t depth) {
    bool parentheses = level_of(tree) < at_least;
    if (parentheses) put(flat, "(");
    put_plain(flat, tree, parentheses ? depth + 2 : depth);
    if (parentheses) put(flat, ")");
}

void flat_expression(Flat *flat, const Tree *tree) {
    put_level(flat, tree, LEVEL_EXPR, 0);
}

/* ---- statements and heads of items ----------------------------------------------------------- */

static void put_decl(Flat *flat, const Tree *tree, uint32_t depth) {
    if (tree->kind != T_DECL) {
        put_plain(flat, tree, depth);
        return;
    }
    put(flat, tree->decl.name);
    if (tree->decl.has_dims) put_subscripts(flat, tree->decl.dims, depth + 1);
    if (tree->decl.class_size) {
        put(flat, ": class(");
        put_level(flat, tree->decl.class_size, LEVEL_EXPR, depth + 1);
        put(flat, ")");
    }
    if (!tree->decl.value) return;
    put(flat, ": ");
    put_level(flat, tree->decl.value, LEVEL_EXPR, depth + 1);
}

static void put_state(Flat *flat, const Tree *tree, uint32_t depth) {
    put(flat, tree->decl.name);
    if (tree->decl.has_dims) put_subscripts(flat, tree->decl.dims, depth + 1);
    put(flat, " = ");
    put_level(flat, tree->decl.value, LEVEL_VALUE, depth + 1);
}

static void put_value(Flat *flat, const Tree *tree, uint32_t depth) {
    put_level(flat, tree, LEVEL_VALUE, depth);
}

/* train 80   in_order */
static void put_share(Flat *flat, const Tree *tree, uint32_t depth) {
    if (tree->kind != T_ARG) {
        put_plain(flat, tree, depth);
        return;
    }
    put(flat, tree->named.name);
    if (!tree->named.value) return;
    put(flat, " ");
    put_level(flat, tree->named.value, LEVEL_POSTFIX, depth);
}

const char *statement_word(const Tree *tree) {
    switch (tree->kind) {
    case T_IMPORT: return "import";
    case T_FN: return "fn";
    case T_LAYER: return "layer";
    case T_OPTIMIZER: return "optimizer";
    case T_METRIC: return "metric";
    case T_INIT: return "init";
    case T_MODEL: return "model";
    case T_DATA: return "data";
    case T_TRAIN: return "train";
    case T_INPUT:
    case T_TARGET:
    case T_PARAM:
    case T_STATE:
    case T_SIZE:
    case T_OUTPUT:
    case T_LOSS:
    case T_METRIC_USE:
    case T_OPTIMIZER_USE:
    case T_REQUIRE:
    case T_REPEAT:
    case T_SCALE:
    case T_STANDARDIZE:
    case T_SPLIT:
    case T_MISSING: return tree_word(tree->kind);
    case T_SOURCE: return tree->named.name;
    case T_EQUATION: return tree->equation.is_output ? "output" : "";
    default: return "";
    }
}

/* What stands left of `=`, `~` or `from`, behind the keyword. */
static void put_left(Flat *flat, const Tree *tree) {
    switch (tree->kind) {
    case T_PARAM: put_list(flat, tree->param.decls, 1, put_decl); return;
    case T_EQUATION:
        put(flat, tree->equation.name);
        if (!tree->equation.has_subs) return;
        put(flat, "[");
        flat->brackets++;
        put_list(flat, tree->equation.subs, 2, put_binder);
        flat->brackets--;
        put(flat, "]");
        return;
    case T_COLUMNS: put(flat, tree->columns.name); return;
    case T_SIZE: put(flat, tree->named.name); return;
    case T_FN:
    case T_LAYER:
    case T_OPTIMIZER:
    case T_METRIC:
    case T_INIT:
        put(flat, tree->def.name);
        if (!tree->def.params.len && tree->kind != T_FN) return;
        put(flat, "(");
        put_list(flat, tree->def.params, 2, put_decl);
        put(flat, ")");
        return;
    case T_MODEL:
    case T_DATA: put(flat, tree->def.name); return;
    case T_TRAIN: text_printf(&flat->text, "%s on %s", tree->train.model, tree->train.data); return;
    default: return;
    }
}

uint32_t statement_left(Arena *arena, const Tree *tree) {
    Flat flat = flat_new(arena, NULL);
    put_left(&flat, tree);
    return (uint32_t)flat.text.len;
}

static void put_assigned(Flat *flat, const Tree *value) {
    put(flat, " =");
    put_break(flat, 0);
    put_level(flat, value, LEVEL_EXPR, 0);
}

static void put_right(Flat *flat, const Tree *tree) {
    switch (tree->kind) {
    case T_IMPORT: print_string(&flat->text, tree->text.value); return;
    case T_FN:
    case T_LAYER:
    case T_OPTIMIZER:
    case T_METRIC:
    case T_INIT:
        if (tree->def.value) put_assigned(flat, tree->def.value);
        return;
    case T_PARAM:
        put(flat, " ~");
        put_break(flat, 0);
        put_level(flat, tree->param.init, LEVEL_POSTFIX, 1);
        if (tree->param.attributes.len) put(flat, ", ");
        put_list(flat, tree->param.attributes, 1, put_argument);
        return;
    case T_EQUATION: put_assigned(flat, tree->equation.value); return;
    case T_SIZE: put_assigned(flat, tree->named.value); return;
    case T_COLUMNS:
        put(flat, " from ");
        put_list(flat, tree->columns.columns, 1, put_argument);
        return;
    case T_STATE: put_list(flat, tree->list.items, 1, put_state); return;
    case T_INPUT:
    case T_TARGET: put_list(flat, tree->list.items, 1, put_decl); return;
    case T_OUTPUT:
    case T_METRIC_USE:
    case T_REQUIRE:
    case T_STANDARDIZE: put_list(flat, tree->list.items, 1, put_value); return;
    case T_SPLIT: put_list(flat, tree->list.items, 1, put_share); return;
    case T_LOSS:
    case T_SCALE: put_level(flat, tree->unary.value, LEVEL_EXPR, 0); return;
    case T_OPTIMIZER_USE: put_level(flat, tree->unary.value, LEVEL_VALUE, 1); return;
    case T_MISSING: put_argument(flat, tree->unary.value, 1); return;
    case T_SOURCE: put_level(flat, tree->named.value, LEVEL_POSTFIX, 1); return;
    case T_REPEAT: put_level(flat, tree->repeat.count, LEVEL_VALUE, 1); return;
    default: return;
    }
}

void flat_statement(Flat *flat, const Tree *tree, Columns columns) {
    if (tree->kind >= T_NUMBER || tree->kind == T_FILE || tree->kind == T_DECL) {
        if (tree->kind == T_DECL)
            put_decl(flat, tree, 1);
        else
            flat_expression(flat, tree);
        return;
    }
    const char *word = statement_word(tree);
    size_t begin = flat->text.len;
    put(flat, word);
    if (*word) {
        pad(flat, begin, columns.word);
        put(flat, " ");
    }
    begin = flat->text.len;
    put_left(flat, tree);
    bool right = tree->kind != T_MODEL && tree->kind != T_DATA && tree->kind != T_TRAIN;
    if (right) {
        pad(flat, begin, columns.left);
        put_right(flat, tree);
    }
}
