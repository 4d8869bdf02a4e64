/* syntax/parse.c: runs the lexer, the filter and the push parser. */
#include "syntax/private.h"

#include "dl.tab.h"

static Tree *push_all(Parser *p, int start) {
    dl_pstate *state = dl_pstate_new();
    if (!state) lexer_fatal("out of memory");
    Span begin = {p->source->begin, p->source->begin};
    uint32_t end = p->source->begin + p->source->length;
    int status = dl_push_parse(state, start, NULL, &begin, p);
    for (p->at = 0; p->at < p->tokens->len && status == YYPUSH_MORE; p->at++) {
        Token *token = &p->tokens->at[p->at];
        status = dl_push_parse(state, token->kind, NULL, &token->span, p);
    }
    if (status == YYPUSH_MORE) {
        Span last = {end, end};
        dl_push_parse(state, 0, NULL, &last, p);
    }
    dl_pstate_delete(state);
    TreeList none = {0};
    return p->result ? p->result : tree_file(p, none);
}

SyntaxFile syntax_parse(Ctx *ctx, const Source *source) {
    SyntaxFile file = {0};
    TokenList list = tokens_read(ctx, source, &file);
    Parser p = {.ctx = ctx, .source = source, .file = &file, .tokens = &list.tokens};
    file.tree = push_all(&p, DL_FILE_START);
    return file;
}

SyntaxState syntax_parse_typed(Ctx *ctx, const Source *source, SyntaxFile *out) {
    *out = (SyntaxFile){0};
    DiagFrame frame = diag_frame(ctx);
    TokenList list = tokens_read(ctx, source, out);
    if (list.unfinished) {
        diag_drop(ctx, frame);
        return SYNTAX_UNFINISHED;
    }
    Parser p = {.ctx = ctx, .source = source, .file = out, .tokens = &list.tokens, .typed = true};
    out->tree = push_all(&p, DL_TYPED_START);
    return ctx->diags.errors > frame.errors ? SYNTAX_FAILED : SYNTAX_COMPLETE;
}
