/* syntax/private.h: what the lexer, the token filter, the parser and the tree share. */
#ifndef DLC_SYNTAX_PRIVATE_H
#define DLC_SYNTAX_PRIVATE_H

#include "syntax/syntax.h"

/* The lexer's state: where it is, and what it keeps aside. */
typedef struct Lexer {
    Ctx *ctx;
    const Source *source;
    uint32_t begin, end; /* of the last match, from the start of the source */
    SyntaxFile *file;
} Lexer;

void lexer_comment(Lexer *lexer);
void lexer_error(Lexer *lexer, const char *format, const char *text)
    __attribute__((format(printf, 2, 0)));
/* A word with characters outside ASCII. */
void lexer_foreign(Lexer *lexer, const char *text);
void lexer_stray(Lexer *lexer, unsigned char byte);
_Noreturn void lexer_fatal(const char *message);

typedef struct Token {
    int kind;
    Span span;
} Token;
typedef Vec(Token) Tokens;

/* tokens.c: all tokens, with a newline exactly where a statement ends, and before every `}`.
 * Brackets match afterwards: missing ones are reported and put in. */
typedef struct TokenList {
    Tokens tokens;
    bool unfinished; /* more lines could complete the text */
} TokenList;
TokenList tokens_read(Ctx *ctx, const Source *source, SyntaxFile *file);

/* What the actions of the grammar work on. */
typedef struct Parser {
    Ctx *ctx;
    const Source *source;
    SyntaxFile *file;
    Tree *result;
    const Tokens *tokens;
    uint32_t at; /* the token being pushed */
    bool typed;
} Parser;

const char *token_text(const Parser *p, Span span, uint32_t *length);

/* tree.c: constructors, one call for each action. Names and texts are taken from the source. */
Sym tree_sym(Parser *p, Span span);
TreeList tree_list(Parser *p, TreeList list, Tree *item);
Tree *tree_plain(Parser *p, TreeKind kind, Span span);
Tree *tree_file(Parser *p, TreeList items);
Tree *tree_import(Parser *p, Span span, Span string);
Tree *tree_def(Parser *p, TreeKind kind, Span span, Span name, TreeList params, TreeList body,
               Tree *value);
Tree *tree_train(Parser *p, Span span, Span model, Span data, TreeList settings);
Tree *tree_decl(Parser *p, Span span, Span name, bool has_dims, TreeList dims, Tree *type,
                Tree *value);
Tree *tree_of_list(Parser *p, TreeKind kind, Span span, TreeList items);
Tree *tree_param(Parser *p, Span span, TreeList decls, Tree *init, TreeList attributes);
Tree *tree_named(Parser *p, TreeKind kind, Span span, Span name, Tree *value);
Tree *tree_equation(Parser *p, Span span, Span name, bool has_subs, TreeList subs, Tree *value,
                    bool is_output);
Tree *tree_unary_statement(Parser *p, TreeKind kind, Span span, Tree *value);
/* One optimizer of a statement: its name or its call. */
Tree *tree_optimizer(Parser *p, Tree *call);
Tree *tree_repeat(Parser *p, Span span, Tree *count, TreeList body);
Tree *tree_columns(Parser *p, Span span, Span name, TreeList columns);
Tree *tree_number(Parser *p, Span span);
Tree *tree_string(Parser *p, Span span);
Tree *tree_bool(Parser *p, Span span, bool value);
Tree *tree_name(Parser *p, Span span);
Tree *tree_indexed(Parser *p, Span span, Tree *base, TreeList subs);
Tree *tree_call(Parser *p, Span span, Tree *callee, TreeList args);
Tree *tree_op(Parser *p, TreeKind kind, Span span, Operator op, Tree *a, Tree *b);
Tree *tree_choice(Parser *p, Span span, Tree *condition, Tree *then, Tree *otherwise);
Tree *tree_else(Parser *p, Span span, Tree *read, Tree *otherwise);
Tree *tree_reduce(Parser *p, Span span, Span word, TreeList binders, Tree *body);
Tree *tree_binder(Parser *p, Span span, Span name, Tree *bound, bool over_params);

/* flat.c: a statement as one line of text, with the places where it may be broken. */
typedef struct Break {
    size_t at;          /* the space that becomes a newline */
    uint32_t depth;     /* the smaller, the better a place */
    bool arrow;         /* before a `->` of the statement's own pipe */
    bool forced;        /* was broken there in the source */
    uint32_t source_at; /* of an arrow: where what follows it stands */
} Break;
typedef struct Flat {
    Text text;
    Vec(Break) breaks;
    const Source *source; /* NULL: no forced breaks */
    uint32_t brackets;    /* how many [ ] are open: products are written tight there */
} Flat;
/* What columns of neighbouring lines have in common. */
typedef struct Columns {
    uint32_t word, left; /* widths to pad the keyword and the left side to */
} Columns;
Flat flat_new(Arena *arena, const Source *source);
void flat_statement(Flat *flat, const Tree *tree, Columns columns);
void flat_expression(Flat *flat, const Tree *tree);
/* The parts of which columns are made: "" and 0 where there are none. */
const char *statement_word(const Tree *tree);
uint32_t statement_left(Arena *arena, const Tree *tree);
void print_string(Text *out, const char *text);

enum { MAX_NESTING = 200, MAX_TREE_DEPTH = 1000 };

#endif
