/* dl.y: tokens to tree: a re-entrant push parser without conflicts. Each action is one constructor.
 *
 * The token filter (syntax/tokens.c) has done what depends on lines: every statement and item ends
 * with END, and brackets match. */
%define api.pure full
%define api.push-pull push
%define api.prefix {dl_}
%define api.token.prefix {DL_}
%define parse.error custom
%define parse.lac full
%define api.location.type {Span}
%locations
%expect 0

%code requires {
#include "syntax/private.h"
}

%parse-param {Parser *p}

%union {
    Tree *tree;
    TreeList list;
}

%code {
#define YYMAXDEPTH 20000
#define YYLLOC_DEFAULT(current, rhs, n)                                                            \
    (current) = (n) ? span_join(YYRHSLOC(rhs, 1), YYRHSLOC(rhs, n))                                \
                    : (Span){YYRHSLOC(rhs, 0).end, YYRHSLOC(rhs, 0).end}
static void dl_error(Span *at, Parser *p, const char *message);
static const TreeList none;
}

%token FILE_START "start of a file" TYPED_START "start of a line"
%token NEWLINE "newline" SEMICOLON ";" END "the end of the line"
%token IMPORT "import" FN "fn" LAYER "layer" OPTIMIZER "optimizer" METRIC "metric" INIT "init"
%token MODEL "model" DATA "data" TRAIN "train" ON "on"
%token INPUT "input" TARGET "target" PARAM "param" STATE "state" SIZE "size" OUTPUT "output"
%token LOSS "loss" REQUIRE "require" REPEAT "repeat"
%token IF "if" THEN "then" ELSE "else" AND "and" OR "or" NOT "not" TRUE "true" FALSE "false"
%token SOURCE "source" SCALE "scale" STANDARDIZE "standardize" SPLIT "split" MISSING "missing"
%token FROM "from"
%token NAME "a name" NUMBER "a number" STRING "a string" REDUCE "a reduction"
%token ARROW "->" REST ".." EQ "==" NE "!=" LE "<=" GE ">=" LT "<" GT ">" ASSIGN "="
%token PLUS "+" MINUS "-" TIMES "*" SLASH "/" PERCENT "%" POWER "^" TILDE "~" COLON ":" COMMA ","
%token LPAREN "(" RPAREN ")" LBRACKET "[" RBRACKET "]" LBRACE "{" RBRACE "}"
%token BAD "a stray character" /* already reported; no rule has it */

%type <tree> item broken reduced statement data_statement setting decl parameter state_decl
%type <tree> optimizers attribute lhs_sub dim typed_item expr value ifx orx andx notx comparison sum product
%type <tree> chain unary reduction power exponent postfix primary arg sub binder column split_item
%type <tree> missing_value number_or_string name_item
%type <list> items block statements data_statements settings parameters parameter_list decls
%type <list> typed_decls state_decls attributes lhs_subs dims args arg_list subs binders columns
%type <list> split_items values names typed_items

%%

start: FILE_START items           { p->result = tree_file(p, $items); }
     | TYPED_START typed_items    { p->result = tree_file(p, $typed_items); }
     ;

items: %empty                     { $$ = none; }
     | items item                 { $$ = tree_list(p, $1, $item); }
     ;

typed_items: %empty               { $$ = none; }
     | typed_items typed_item     { $$ = tree_list(p, $1, $typed_item); }
     ;

typed_item: item
     | expr END                   { $$ = $expr; }
     ;

item: IMPORT STRING END                          { $$ = tree_import(p, @$, @STRING); }
    | FN NAME LPAREN parameters RPAREN ASSIGN expr END

                                  { $$ = tree_def(p, T_FN, @$, @NAME, $parameters, none, $expr); }
    | LAYER NAME parameter_list block END
                                  { $$ = tree_def(p, T_LAYER, @$, @NAME, $3, $block, NULL); }
    | LAYER NAME parameter_list ASSIGN expr END
                                  { $$ = tree_def(p, T_LAYER, @$, @NAME, $3, none, $expr); }
    | METRIC NAME parameter_list block END
                                  { $$ = tree_def(p, T_METRIC, @$, @NAME, $3, $block, NULL); }
    | METRIC NAME parameter_list ASSIGN expr END
                                  { $$ = tree_def(p, T_METRIC, @$, @NAME, $3, none, $expr); }
    | INIT NAME parameter_list block END
                                  { $$ = tree_def(p, T_INIT, @$, @NAME, $3, $block, NULL); }
    | INIT NAME parameter_list ASSIGN expr END
                                  { $$ = tree_def(p, T_INIT, @$, @NAME, $3, none, $expr); }
    | OPTIMIZER NAME parameter_list block END
                                  { $$ = tree_def(p, T_OPTIMIZER, @$, @NAME, $3, $block, NULL); }
    | MODEL NAME block END
                                  { $$ = tree_def(p, T_MODEL, @$, @NAME, none, $block, NULL); }
    | DATA NAME LBRACE data_statements RBRACE END

                                  { $$ = tree_def(p, T_DATA, @$, @NAME, none, $4, NULL); }
    | TRAIN NAME[model] ON NAME[data] LBRACE settings RBRACE END

                                  { $$ = tree_train(p, @$, @model, @data, $settings); }
    | MODEL error block END                      { $$ = tree_plain(p, T_ERROR, @$); yyerrok; }
    | LAYER error block END                      { $$ = tree_plain(p, T_ERROR, @$); yyerrok; }
    | broken
    ;

/* What could not be read is skipped to the end of its statement, with the block it may have. */
broken: error END                 { $$ = tree_plain(p, T_ERROR, @$); yyerrok; }
      | error skipped_block END   { $$ = tree_plain(p, T_ERROR, @$); yyerrok; }
      ;

skipped_block: LBRACE skipped RBRACE
             ;

skipped: %empty
       | skipped anything
       ;

anything: skipped_block
        | IMPORT | FN | LAYER | OPTIMIZER | METRIC | INIT | MODEL | DATA | TRAIN | ON | INPUT
        | TARGET | PARAM
        | STATE | SIZE | OUTPUT | LOSS | REQUIRE | REPEAT | IF | THEN | ELSE | AND | OR | NOT | TRUE | FALSE
        | SOURCE | SCALE | STANDARDIZE | SPLIT | MISSING | FROM | NAME | NUMBER | STRING | REDUCE
        | ARROW | REST | EQ | NE | LE | GE | LT | GT | ASSIGN | PLUS | MINUS | TIMES | SLASH
        | PERCENT | POWER
        | TILDE | COLON | COMMA | LPAREN | RPAREN | LBRACKET | RBRACKET | END
        | BAD
        ;

block: LBRACE statements RBRACE   { $$ = $statements; }
     ;

parameter_list: %empty            { $$ = none; }
     | LPAREN parameters RPAREN   { $$ = $parameters; }
     ;

parameters: %empty                { $$ = none; }
     | parameter                  { $$ = tree_list(p, none, $1); }
     | parameters COMMA parameter { $$ = tree_list(p, $1, $3); }
     ;

/* x[.., I]   t[..]: class(V)   units   stride: 1 */
parameter: decl
     | NAME COLON expr            { $$ = tree_decl(p, @$, @NAME, false, none, $expr, NULL); }
     | NAME LBRACKET dims RBRACKET COLON expr
                                  { $$ = tree_decl(p, @$, @NAME, true, $dims, $expr, NULL); }
     ;

decl: NAME                        { $$ = tree_decl(p, @$, @NAME, false, none, NULL, NULL); }
    | NAME LBRACKET dims RBRACKET { $$ = tree_decl(p, @$, @NAME, true, $dims, NULL, NULL); }
    ;

dims: %empty                      { $$ = none; }
    | dim                         { $$ = tree_list(p, none, $1); }
    | dims COMMA dim              { $$ = tree_list(p, $1, $3); }
    ;

dim: value
   | REST                         { $$ = tree_plain(p, T_REST, @$); }
   ;

statements: %empty                { $$ = none; }
    | statements statement        { $$ = tree_list(p, $1, $statement); }
    ;

statement: INPUT typed_decls END  { $$ = tree_of_list(p, T_INPUT, @$, $2); }
    | TARGET typed_decls END      { $$ = tree_of_list(p, T_TARGET, @$, $2); }
    | PARAM decls TILDE postfix attributes END
                                  { $$ = tree_param(p, @$, $decls, $postfix, $attributes); }
    | STATE state_decls END       { $$ = tree_of_list(p, T_STATE, @$, $2); }
    | SIZE NAME ASSIGN expr END   { $$ = tree_named(p, T_SIZE, @$, @NAME, $expr); }
    | NAME ASSIGN expr END        { $$ = tree_equation(p, @$, @NAME, false, none, $expr, false); }
    | NAME LBRACKET lhs_subs RBRACKET ASSIGN expr END

                                { $$ = tree_equation(p, @$, @NAME, true, $lhs_subs, $expr, false); }
    | OUTPUT NAME ASSIGN expr END { $$ = tree_equation(p, @$, @NAME, false, none, $expr, true); }
    | OUTPUT NAME LBRACKET lhs_subs RBRACKET ASSIGN expr END

                                 { $$ = tree_equation(p, @$, @NAME, true, $lhs_subs, $expr, true); }
    | OUTPUT names END            { $$ = tree_of_list(p, T_OUTPUT, @$, $names); }
    | LOSS expr END               { $$ = tree_unary_statement(p, T_LOSS, @$, $expr); }
    | METRIC values END           { $$ = tree_of_list(p, T_METRIC_USE, @$, $values); }
    | OPTIMIZER optimizers END    { $$ = tree_unary_statement(p, T_OPTIMIZER_USE, @$, $optimizers); }
    | REQUIRE value COMMA STRING END
           { $$ = tree_of_list(p, T_REQUIRE, @$, tree_list(p, tree_list(p, none, $2), tree_string(p, @STRING))); }
    | REPEAT value block END      { $$ = tree_repeat(p, @$, $value, $block); }
    | broken
    ;

optimizers: postfix               { $$ = tree_optimizer(p, $1); }
    | optimizers ARROW postfix    { $$ = tree_op(p, T_PIPE, @$, OPR_ADD, $1, tree_optimizer(p, $3)); }
    ;

typed_decls: parameter            { $$ = tree_list(p, none, $1); }
    | typed_decls COMMA parameter { $$ = tree_list(p, $1, $3); }
    ;

decls: decl                       { $$ = tree_list(p, none, $1); }
    | decls COMMA decl            { $$ = tree_list(p, $1, $3); }
    ;

attributes: %empty                { $$ = none; }
    | attributes COMMA attribute  { $$ = tree_list(p, $1, $3); }
    ;

attribute: NAME COLON expr        { $$ = tree_named(p, T_ARG, @$, @NAME, $expr); }
    ;

state_decls: state_decl           { $$ = tree_list(p, none, $1); }
    | state_decls COMMA state_decl { $$ = tree_list(p, $1, $3); }
    ;

state_decl: NAME ASSIGN value     { $$ = tree_decl(p, @$, @NAME, false, none, NULL, $value); }
    | NAME LBRACKET dims RBRACKET ASSIGN value
                                  { $$ = tree_decl(p, @$, @NAME, true, $dims, NULL, $value); }
    ;

lhs_subs: %empty                  { $$ = none; }
    | lhs_sub                     { $$ = tree_list(p, none, $1); }
    | lhs_subs COMMA lhs_sub      { $$ = tree_list(p, $1, $3); }
    ;

lhs_sub: NAME                     { $$ = tree_binder(p, @$, @NAME, NULL, false); }
    | NAME LT sum                 { $$ = tree_binder(p, @$, @NAME, $sum, false); }
    | REST                        { $$ = tree_plain(p, T_REST, @$); }
    ;

names: name_item                  { $$ = tree_list(p, none, $1); }
    | names COMMA name_item       { $$ = tree_list(p, $1, $3); }
    ;

name_item: NAME                   { $$ = tree_name(p, @$); }
    ;

values: value                     { $$ = tree_list(p, none, $1); }
    | values COMMA value          { $$ = tree_list(p, $1, $3); }
    ;

/* ---- data and train blocks ---- */

data_statements: %empty           { $$ = none; }
    | data_statements data_statement { $$ = tree_list(p, $1, $2); }
    ;

data_statement: SOURCE postfix END { $$ = tree_named(p, T_SOURCE, @$, @SOURCE, $postfix); }
    | TRAIN postfix END           { $$ = tree_named(p, T_SOURCE, @$, @TRAIN, $postfix); }
    | NAME FROM columns END       { $$ = tree_columns(p, @$, @NAME, $columns); }
    | SCALE expr END              { $$ = tree_unary_statement(p, T_SCALE, @$, $expr); }
    | STANDARDIZE names END       { $$ = tree_of_list(p, T_STANDARDIZE, @$, $names); }
    | SPLIT split_items END       { $$ = tree_of_list(p, T_SPLIT, @$, $split_items); }
    | MISSING missing_value END   { $$ = tree_unary_statement(p, T_MISSING, @$, $missing_value); }
    | broken
    ;

columns: column                   { $$ = tree_list(p, none, $1); }
    | columns COMMA column        { $$ = tree_list(p, $1, $3); }
    ;

column: number_or_string
    | number_or_string[a] REST number_or_string[b]
                                  { $$ = tree_op(p, T_RANGE, @$, OPR_SUB, $a, $b); }
    | NAME LPAREN args RPAREN     { $$ = tree_call(p, @$, tree_name(p, @NAME), $args); }
    ;

number_or_string: NUMBER          { $$ = tree_number(p, @$); }
    | STRING                      { $$ = tree_string(p, @$); }
    ;

split_items: split_item           { $$ = tree_list(p, none, $1); }
    | split_items COMMA split_item { $$ = tree_list(p, $1, $3); }
    ;

split_item: TRAIN NUMBER
                                 { $$ = tree_named(p, T_ARG, @$, @TRAIN, tree_number(p, @NUMBER)); }
    | NAME NUMBER                 { $$ = tree_named(p, T_ARG, @$, @NAME, tree_number(p, @NUMBER)); }
    | NAME                        { $$ = tree_named(p, T_ARG, @$, @NAME, NULL); }
    ;

missing_value: NAME               { $$ = tree_name(p, @$); }
    | REDUCE                      { $$ = tree_name(p, @$); }
    | NUMBER                      { $$ = tree_number(p, @$); }
    | MINUS NUMBER
                           { $$ = tree_op(p, T_UNARY, @$, OPR_NEG, tree_number(p, @NUMBER), NULL); }
    ;

settings: %empty                  { $$ = none; }
    | settings setting            { $$ = tree_list(p, $1, $2); }
    ;

setting: NAME COLON expr END      { $$ = tree_named(p, T_ARG, @$, @NAME, $expr); }
    | NAME COLON expr COMMA       { $$ = tree_named(p, T_ARG, @$, @NAME, $expr); }
    | broken
    ;

/* ---- expressions, loosest first ---- */

expr: value
    | postfix ELSE expr           { $$ = tree_else(p, @$, $postfix, $3); }
    ;

value: ifx
    | value ARROW postfix         { $$ = tree_op(p, T_PIPE, @$, OPR_ADD, $1, $postfix); }
    ;

ifx: orx
    | IF value[c] THEN value[a] ELSE ifx[b]
                                  { $$ = tree_choice(p, @$, $c, $a, $b); }
    ;

orx: andx
    | orx OR andx                 { $$ = tree_op(p, T_BINARY, @$, OPR_OR, $1, $3); }
    ;

andx: notx
    | andx AND notx               { $$ = tree_op(p, T_BINARY, @$, OPR_AND, $1, $3); }
    ;

notx: comparison
    | NOT notx                    { $$ = tree_op(p, T_UNARY, @$, OPR_NOT, $2, NULL); }
    ;

comparison: sum
    | sum EQ sum                  { $$ = tree_op(p, T_BINARY, @$, OPR_EQ, $1, $3); }
    | sum NE sum                  { $$ = tree_op(p, T_BINARY, @$, OPR_NE, $1, $3); }
    | sum LT sum                  { $$ = tree_op(p, T_BINARY, @$, OPR_LT, $1, $3); }
    | sum LE sum                  { $$ = tree_op(p, T_BINARY, @$, OPR_LE, $1, $3); }
    | sum GT sum                  { $$ = tree_op(p, T_BINARY, @$, OPR_GT, $1, $3); }
    | sum GE sum                  { $$ = tree_op(p, T_BINARY, @$, OPR_GE, $1, $3); }
    ;

sum: product
    | sum PLUS product            { $$ = tree_op(p, T_BINARY, @$, OPR_ADD, $1, $3); }
    | sum MINUS product           { $$ = tree_op(p, T_BINARY, @$, OPR_SUB, $1, $3); }
    ;

/* A reduction takes the rest of the product. */
product: chain
    | reduced
    | chain TIMES reduced         { $$ = tree_op(p, T_BINARY, @$, OPR_MUL, $1, $3); }
    | chain SLASH reduced         { $$ = tree_op(p, T_BINARY, @$, OPR_DIV, $1, $3); }
    | chain PERCENT reduced       { $$ = tree_op(p, T_BINARY, @$, OPR_MOD, $1, $3); }
    ;

reduced: reduction
    | MINUS reduced               { $$ = tree_op(p, T_UNARY, @$, OPR_NEG, $2, NULL); }
    ;

chain: unary
    | chain TIMES unary           { $$ = tree_op(p, T_BINARY, @$, OPR_MUL, $1, $3); }
    | chain SLASH unary           { $$ = tree_op(p, T_BINARY, @$, OPR_DIV, $1, $3); }
    | chain PERCENT unary         { $$ = tree_op(p, T_BINARY, @$, OPR_MOD, $1, $3); }
    ;

unary: power
    | MINUS unary                 { $$ = tree_op(p, T_UNARY, @$, OPR_NEG, $2, NULL); }
    ;

reduction: REDUCE LBRACKET binders RBRACKET product
                                  { $$ = tree_reduce(p, @$, @REDUCE, $binders, $product); }
    ;

power: postfix
    | postfix POWER exponent      { $$ = tree_op(p, T_BINARY, @$, OPR_POW, $1, $3); }
    ;

exponent: power
    | MINUS exponent              { $$ = tree_op(p, T_UNARY, @$, OPR_NEG, $2, NULL); }
    ;

postfix: primary
    | postfix LPAREN args RPAREN  { $$ = tree_call(p, @$, $1, $args); }
    | postfix LBRACKET subs RBRACKET { $$ = tree_indexed(p, @$, $1, $subs); }
    ;

primary: NUMBER                   { $$ = tree_number(p, @$); }
    | STRING                      { $$ = tree_string(p, @$); }
    | NAME                        { $$ = tree_name(p, @$); }
    | TRAIN                       { $$ = tree_name(p, @$); }
    | TRUE                        { $$ = tree_bool(p, @$, true); }
    | FALSE                       { $$ = tree_bool(p, @$, false); }
    | LPAREN expr RPAREN          { $$ = $expr; }
    | LPAREN error RPAREN         { $$ = tree_plain(p, T_ERROR, @$); }
    ;

args: %empty                      { $$ = none; }
    | arg_list
    ;

arg_list: arg                     { $$ = tree_list(p, none, $1); }
    | arg_list COMMA arg          { $$ = tree_list(p, $1, $3); }
    ;

arg: expr                         { $$ = tree_named(p, T_ARG, @$, (Span){0, 0}, $expr); }
    | NAME COLON expr             { $$ = tree_named(p, T_ARG, @$, @NAME, $expr); }
    ;

subs: %empty                      { $$ = none; }
    | sub                         { $$ = tree_list(p, none, $1); }
    | subs COMMA sub              { $$ = tree_list(p, $1, $3); }
    ;

sub: value
    | REST                        { $$ = tree_plain(p, T_REST, @$); }
    ;

binders: binder                   { $$ = tree_list(p, none, $1); }
    | binders COMMA binder        { $$ = tree_list(p, $1, $3); }
    ;

binder: NAME                      { $$ = tree_binder(p, @$, @NAME, NULL, false); }
    | NAME LT sum                 { $$ = tree_binder(p, @$, @NAME, $sum, false); }
    | PARAM NAME                  { $$ = tree_binder(p, @$, @NAME, NULL, true); }
    | REST                        { $$ = tree_plain(p, T_REST, @$); }
    ;

%%

static void dl_error(Span *at, Parser *p, const char *message) {
    /* Only for what the generated parser says itself: its stack is full. */
    diag_error(p->ctx, *at, "this is too complex to parse (%s)", message);
}

enum { MAX_EXPECTED = 96 };

typedef struct Expected {
    yysymbol_kind_t at[MAX_EXPECTED];
    int n;
} Expected;

static bool expects(const Expected *expected, yysymbol_kind_t kind) {
    for (int i = 0; i < expected->n; i++)
        if (expected->at[i] == kind) return true;
    return false;
}

static bool is_keyword(yysymbol_kind_t kind) {
    return kind >= YYSYMBOL_IMPORT && kind <= YYSYMBOL_REPEAT;
}

static bool wants_expression(const Expected *expected) {
    return expects(expected, YYSYMBOL_NUMBER) && expects(expected, YYSYMBOL_LPAREN) &&
           expects(expected, YYSYMBOL_NAME);
}

/* What could stand there, in words: "an expression", "`,` or `)`". NULL when there are too many. */
static const char *expected_words(Parser *p, const Expected *expected) {
    if (expects(expected, YYSYMBOL_MODEL) && expects(expected, YYSYMBOL_FN))
        return "an item (model, layer, fn, optimizer, metric, init, data, train or import)";
    if (wants_expression(expected)) return "an expression";
    if (expects(expected, YYSYMBOL_INPUT) && expects(expected, YYSYMBOL_REPEAT))
        return "a statement";
    if (expects(expected, YYSYMBOL_SOURCE)) return "a statement of a data block";
    Text text = text_new(p->ctx->arena);
    for (int i = 0; i < expected->n && expected->n <= 4; i++) {
        yysymbol_kind_t kind = expected->at[i];
        bool plain = kind == YYSYMBOL_NAME || kind == YYSYMBOL_NUMBER || kind == YYSYMBOL_STRING ||
                     kind == YYSYMBOL_REDUCE || kind == YYSYMBOL_END || kind == YYSYMBOL_YYEOF;
        if (i) text_put(&text, i + 1 == expected->n ? " or " : ", ");
        text_printf(&text, plain ? "%s" : "`%s`",
                    kind == YYSYMBOL_YYEOF ? "the end of the file" : yysymbol_name(kind));
    }
    return text.len ? text_string(&text) : NULL;
}

static const char *found_words(Parser *p, yysymbol_kind_t kind, Span span) {
    uint32_t length;
    const char *text = token_text(p, span, &length);
    if (kind == YYSYMBOL_YYEOF) return "the end of the file";
    if (kind == YYSYMBOL_END || length == 0) return "the end of the line";
    if (length > 40) return arena_printf(p->ctx->arena, "`%.*s...`", 40, text);
    return arena_printf(p->ctx->arena, "`%.*s`", (int)length, text);
}

/* The word that was meant where a statement or an item begins with an unknown one. */
static void help_word(Parser *p, Diag *d, const Expected *expected, yysymbol_kind_t found) {
    static const char *const items[] = {"import", "fn",    "layer", "optimizer", "metric",
                                        "init",   "model", "data",  "train"};
    static const char *const statements[] = {"input",  "target", "param",  "state",     "size",
                                             "output", "loss",   "metric", "optimizer", "repeat",
                                             "require"};
    static const char *const data[] = {"source", "train",       "valid", "test",
                                       "scale",  "standardize", "split", "missing"};
    const char *near = NULL;
    bool item = found == YYSYMBOL_NAME && expects(expected, YYSYMBOL_MODEL) &&
                expects(expected, YYSYMBOL_FN);
    uint32_t at = item ? p->at : p->at - 1;
    if (!item && (p->at < 2 || p->tokens->at[at].kind != DL_NAME)) return;
    Sym word = tree_sym(p, p->tokens->at[at].span);
    if (item)
        near = diag_nearest(word, items, sizeof items / sizeof *items);
    else if (expects(expected, YYSYMBOL_FROM))
        near = diag_nearest(word, data, sizeof data / sizeof *data);
    else if (expects(expected, YYSYMBOL_ASSIGN) && expects(expected, YYSYMBOL_LBRACKET) &&
             expected->n == 2)
        near = diag_nearest(word, statements, sizeof statements / sizeof *statements);
    if (near) diag_help(p->ctx, d, "did you mean `%s`?", near);
}

static void help_with(Parser *p, Diag *d, const Expected *expected, yysymbol_kind_t found) {
    bool comparison = found >= YYSYMBOL_EQ && found <= YYSYMBOL_GT;
    if (comparison && !expects(expected, YYSYMBOL_EQ) && expects(expected, YYSYMBOL_AND))
        diag_help(p->ctx, d, "comparisons do not chain: write `a < b and b < c`");
    else if (found == YYSYMBOL_ASSIGN && expects(expected, YYSYMBOL_COLON) &&
             expects(expected, YYSYMBOL_RPAREN))
        diag_help(p->ctx, d, "a named argument is written `name: value`");
    else if (found == YYSYMBOL_ASSIGN && p->typed && expects(expected, YYSYMBOL_EQ))
        diag_help(p->ctx, d, "to name a value here, define a function: `fn a() = 3`");
    else if (found == YYSYMBOL_ASSIGN && expects(expected, YYSYMBOL_EQ))
        diag_help(p->ctx, d, "`==` compares");
    else if (found == YYSYMBOL_ELSE)
        diag_help(p->ctx, d, "an element and its `else` stand in parentheses: `(x[i - 1] else 0)`");
    else if (found == YYSYMBOL_IF && wants_expression(expected))
        diag_help(p->ctx, d, "an `if` inside an expression stands in parentheses");
    else if (found == YYSYMBOL_NOT && wants_expression(expected))
        diag_help(p->ctx, d, "a `not` inside an expression stands in parentheses");
    else if (found == YYSYMBOL_REDUCE && wants_expression(expected))
        diag_help(p->ctx, d, "a reduction inside an expression stands in parentheses");
    else
        help_word(p, d, expected, found);
}

/* An `if` was begun, and what follows cannot be part of its second branch. */
static bool lacks_else(const Expected *expected, yysymbol_kind_t found) {
    static const yysymbol_kind_t ends[] = {YYSYMBOL_END, YYSYMBOL_RPAREN, YYSYMBOL_RBRACKET,
                                           YYSYMBOL_COMMA};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (expects(expected, ends[i])) return false;
    return expects(expected, YYSYMBOL_ELSE) && found != YYSYMBOL_ELSE;
}

static int yyreport_syntax_error(const yypcontext_t *context, Parser *p) {
    Expected expected;
    expected.n = yypcontext_expected_tokens(context, expected.at, MAX_EXPECTED);
    if (expected.n < 0) return 0;
    yysymbol_kind_t found = yypcontext_token(context);
    if (found == YYSYMBOL_BAD) return 0;
    Span span = *yypcontext_location(context);
    const char *what = found_words(p, found, span), *wanted = expected_words(p, &expected);
    uint32_t length = 0;
    const Token *last = p->at > 0 ? &p->tokens->at[p->at - 1] : NULL;
    const char *before = last ? token_text(p, last->span, &length) : "";
    bool behind = length > 0 && length < 40 && last->kind != DL_END;
    bool name = expects(&expected, YYSYMBOL_NAME) && !wants_expression(&expected);
    Diag *d;
    if ((is_keyword(found) && expects(&expected, YYSYMBOL_NAME)) ||
        (found == YYSYMBOL_REDUCE && name))
        d = diag_error(p->ctx, span, "%s is a reserved word; it cannot be a name here", what);
    else if (lacks_else(&expected, found))
        d = diag_error(p->ctx, span, "this `if` has no `else`: expected `else`, found %s", what);
    else if (wanted && behind)
        d = diag_error(p->ctx, span, "expected %s after `%.*s`, found %s", wanted, (int)length,
                       before, what);
    else if (wanted)
        d = diag_error(p->ctx, span, "expected %s, found %s", wanted, what);
    else if (behind)
        d = diag_error(p->ctx, span, "%s is not expected after `%.*s`", what, (int)length, before);
    else
        d = diag_error(p->ctx, span, "%s is not expected here", what);
    help_with(p, d, &expected, found);
    return 0;
}
