/* syntax/syntax.h: text to tree, and tree to text.
 *
 * in:   a source in ctx->sources      out: a T_FILE; messages for what could not be parsed
 * The parser recovers at the ends of statements and at brackets, so that one run reports
 * several errors; the tree then holds T_ERROR nodes.
 */
#ifndef DLC_SYNTAX_SYNTAX_H
#define DLC_SYNTAX_SYNTAX_H

#include "syntax/tree.h"

/* A comment, kept aside for the printer. */
typedef struct Comment {
    Span span;  /* from `#` to before the newline */
    bool alone; /* nothing but space before it on its line */
} Comment;

typedef struct SyntaxFile {
    Tree *tree;
    Vec(Comment) comments;
} SyntaxFile;

SyntaxFile syntax_parse(Ctx *ctx, const Source *source);

/* What the REPL types: items, and bare expressions, which stand among the items of the file.
 * SYNTAX_UNFINISHED means that more lines could complete the text; nothing is reported then. */
typedef enum SyntaxState { SYNTAX_COMPLETE, SYNTAX_UNFINISHED, SYNTAX_FAILED } SyntaxState;
SyntaxState syntax_parse_typed(Ctx *ctx, const Source *source, SyntaxFile *out);

/* The canonical form of a file: what `dlc fmt` writes. Comments are kept. Printing what
 * syntax_print printed gives the same text. */
const char *syntax_print(Ctx *ctx, const SyntaxFile *file);
/* One tree as source, without comments. */
void syntax_print_tree(Text *out, const Tree *tree);
/* The tree itself, one node a line, indented: --emit=syntax. */
void syntax_dump(Text *out, const Tree *tree);
/* Calls `visit` for every part of a node, with its role ("" where the kind says it). */
typedef struct Visitor {
    void (*visit)(void *data, const char *role, Tree *part);
    void *data;
} Visitor;
void tree_children(const Tree *tree, const Visitor *visitor);
/* Asserts that the tree has the shape that tree.h documents. */
void syntax_verify(Ctx *ctx, const Tree *tree);

#endif
