/* syntax/tokens.c: from the lexer's tokens to the parser's: lines, brackets, and words that depend
 * on place.
 *
 * in:   a source      out: tokens in which END stands exactly where a statement or item ends
 * A newline ends a statement unless it stands inside ( ) or [ ], behind a token that wants more, or
 * before one that cannot begin a statement. Every `}` has an END before it. Brackets match in what
 * comes out: a closing one that is missing is reported and put in.
 */
#include "syntax/private.h"

#include "dl.tab.h"
#include "dl.lex.h"

#include <stdlib.h>
#include <string.h>

/* ---- the lexer's helpers ------------------------------------------------------------------- */

static Span lexer_span(const Lexer *lexer) {
    return (Span){lexer->source->begin + lexer->begin, lexer->source->begin + lexer->end};
}

void lexer_comment(Lexer *lexer) {
    uint32_t at = lexer->begin;
    const char *text = lexer->source->text;
    while (at > 0 && (text[at - 1] == ' ' || text[at - 1] == '\t')) at--;
    Comment comment = {.span = lexer_span(lexer), .alone = at == 0 || text[at - 1] == '\n'};
    if (comment.span.end > comment.span.begin && text[lexer->end - 1] == '\r') comment.span.end--;
    vec_push(lexer->ctx->arena, &lexer->file->comments, comment);
}

void lexer_error(Lexer *lexer, const char *format, const char *text) {
    Text message = text_new(lexer->ctx->arena);
    const char *hole = strstr(format, "%s");
    text_putn(&message, format, (size_t)(hole - format));
    text_putn(&message, text, strnlen(text, 60));
    text_put(&message, hole + 2);
    diag_error(lexer->ctx, lexer_span(lexer), "%s", text_string(&message));
}

/* What is often typed, or pasted, for what the language has. */
static const char *ascii_for(const char *text) {
    static const char *const pairs[][2] = {
        {"−", "-"},  {"–", "-"},      {"—", "-"},      {"×", "*"},   {"·", "*"},  {"÷", "/"},
        {"≤", "<="}, {"≥", ">="},     {"≠", "!="},     {"→", "->"},  {"“", "\""}, {"”", "\""},
        {"…", ".."}, {"Σ", "sum[…]"}, {"∑", "sum[…]"}, {"∞", "inf"}, {"π", "pi"}, {"∼", "~"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (strcmp(text, pairs[i][0]) == 0) return pairs[i][1];
    return NULL;
}

void lexer_foreign(Lexer *lexer, const char *text) {
    const char *ascii = ascii_for(text);
    Span span = lexer_span(lexer);
    if ((unsigned char)text[0] >= 0x80) {
        Diag *d = diag_error(lexer->ctx, span, "the character `%.*s` is not part of the language",
                             60, text);
        if (ascii) diag_help(lexer->ctx, d, "write `%s`", ascii);
    } else {
        diag_error(
            lexer->ctx, span,
            "`%.*s` has a character that names cannot have (only ASCII letters, digits, `_`)", 60,
            text);
    }
}

void lexer_stray(Lexer *lexer, unsigned char byte) {
    if (byte < 0x20 || byte == 0x7f)
        diag_error(lexer->ctx, lexer_span(lexer),
                   "the character with code %u is not part of the language", byte);
    else
        diag_error(lexer->ctx, lexer_span(lexer), "the character `%c` is not part of the language",
                   byte);
}

_Noreturn void lexer_fatal(const char *message) {
    fprintf(stderr, "dlc: %s\n", message);
    exit(1);
}

/* ---- the filter ------------------------------------------------------------------------------ */

typedef struct Filter {
    Ctx *ctx;
    const Source *source;
    Tokens raw;
    TokenList *out;
    Vec(Token) open; /* brackets not yet closed */
    int block;       /* DL_DATA while inside a data block */
    uint32_t at;     /* the raw token looked at */
    bool too_deep;
} Filter;

static void read_raw(Ctx *ctx, const Source *source, SyntaxFile *file, Tokens *raw) {
    Lexer lexer = {.ctx = ctx, .source = source, .file = file};
    yyscan_t scanner;
    if (dl_lex_lex_init_extra(&lexer, &scanner)) lexer_fatal("out of memory");
    YY_BUFFER_STATE buffer = dl_lex__scan_bytes(source->text, (int)source->length, scanner);
    for (int kind = dl_lex_lex(scanner); kind; kind = dl_lex_lex(scanner)) {
        Token token = {kind, lexer_span(&lexer)};
        bool again = kind == DL_NEWLINE && raw->len && raw->at[raw->len - 1].kind == DL_NEWLINE;
        if (!again) vec_push(ctx->arena, raw, token);
    }
    dl_lex__delete_buffer(buffer, scanner);
    dl_lex_lex_destroy(scanner);
}

static bool wants_more(int kind) {
    switch (kind) {
    case DL_COMMA:
    case DL_ASSIGN:
    case DL_ARROW:
    case DL_THEN:
    case DL_ELSE:
    case DL_TILDE:
    case DL_COLON:
    case DL_PLUS:
    case DL_MINUS:
    case DL_TIMES:
    case DL_SLASH:
    case DL_PERCENT:
    case DL_POWER:
    case DL_AND:
    case DL_OR:
    case DL_NOT:
    case DL_EQ:
    case DL_NE:
    case DL_LT:
    case DL_LE:
    case DL_GT:
    case DL_GE:
    case DL_IF:
    case DL_LBRACE: return true;
    default: return false;
    }
}

/* Tokens that cannot begin a statement go on with the line before. */
static bool goes_on(int kind) {
    switch (kind) {
    case DL_ARROW:
    case DL_THEN:
    case DL_ELSE:
    case DL_AND:
    case DL_OR:
    case DL_TIMES:
    case DL_SLASH:
    case DL_PLUS:
    case DL_PERCENT:
    case DL_POWER:
    case DL_EQ:
    case DL_NE:
    case DL_LT:
    case DL_LE:
    case DL_GT:
    case DL_GE:
    case DL_COMMA:
    case DL_ASSIGN:
    case DL_TILDE:
    case DL_LBRACE: return true;
    default: return false;
    }
}

static bool begins_statement(int kind) {
    return kind == DL_RBRACE || (kind >= DL_IMPORT && kind <= DL_REPEAT && kind != DL_ON &&
                                 kind != DL_TRAIN && kind != DL_SIZE);
}

static int last_kind(const Filter *f) {
    return f->out->tokens.len ? f->out->tokens.at[f->out->tokens.len - 1].kind : DL_END;
}

static void put(Filter *f, int kind, Span span) {
    Token token = {kind, span};
    vec_push(f->ctx->arena, &f->out->tokens, token);
}

/* Right behind the last token. */
static Span behind(const Filter *f) {
    uint32_t n = f->out->tokens.len;
    uint32_t where = n ? f->out->tokens.at[n - 1].span.end : f->source->begin;
    return (Span){where, where};
}

/* Ends the statement, if there is one. */
static void put_end(Filter *f) {
    int last = last_kind(f);
    if (last != DL_END && last != DL_LBRACE) put(f, DL_END, behind(f));
}

static int open_kind(const Filter *f) {
    return f->open.len ? f->open.at[f->open.len - 1].kind : 0;
}

static int closing(int open) {
    return open == DL_LPAREN ? DL_RPAREN : open == DL_LBRACKET ? DL_RBRACKET : DL_RBRACE;
}

static const char *bracket(int kind) {
    switch (kind) {
    case DL_LPAREN: return "(";
    case DL_RPAREN: return ")";
    case DL_LBRACKET: return "[";
    case DL_RBRACKET: return "]";
    case DL_LBRACE: return "{";
    default: return "}";
    }
}

/* Closes the innermost open bracket, whose partner is missing. */
static void close_missing(Filter *f) {
    Token open = f->open.at[--f->open.len];
    int kind = closing(open.kind);
    Span here = behind(f);
    Diag *d = diag_error(f->ctx, here, "`%s` is missing to close a `%s`", bracket(kind),
                         bracket(open.kind));
    diag_note(f->ctx, d, open.span, "the `%s` is here", bracket(open.kind));
    if (kind == DL_RBRACE) put_end(f);
    put(f, kind, here);
    if (open.kind == DL_LBRACE && f->open.len == 0) f->block = 0;
}

static void put_open(Filter *f, Token token) {
    if (f->open.len >= MAX_NESTING && !f->too_deep) {
        diag_error(f->ctx, token.span, "brackets are nested too deeply (more than %d levels)",
                   MAX_NESTING);
        f->too_deep = true;
    }
    vec_push(f->ctx->arena, &f->open, token);
    put(f, token.kind, token.span);
}

static void put_close(Filter *f, Token token) {
    /* A } ends everything inside its block. */
    while (token.kind == DL_RBRACE && f->open.len && open_kind(f) != DL_LBRACE) close_missing(f);
    if (f->open.len && closing(open_kind(f)) != token.kind && f->open.len > 1 &&
        closing(f->open.at[f->open.len - 2].kind) == token.kind)
        close_missing(f);
    if (!f->open.len || closing(open_kind(f)) != token.kind) {
        diag_error(f->ctx, token.span, "this `%s` closes nothing", bracket(token.kind));
        put(f, DL_BAD, token.span);
        return;
    }
    if (token.kind == DL_RBRACE) put_end(f);
    f->open.len--;
    put(f, token.kind, token.span);
    if (token.kind == DL_RBRACE && f->open.len == 0) f->block = 0;
}

static bool text_is(const Filter *f, Span span, const char *word) {
    const char *text = f->source->text + (span.begin - f->source->begin);
    size_t length = span.end - span.begin;
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static int next_kind(const Filter *f) {
    return f->at + 1 < f->raw.len ? f->raw.at[f->at + 1].kind : 0;
}

static bool next_is_from(const Filter *f) {
    return next_kind(f) == DL_NAME && text_is(f, f->raw.at[f->at + 1].span, "from");
}

/* In a data block some names are words. */
static int data_word(const Filter *f, Token token) {
    static const struct {
        const char *text;
        int kind;
    } words[] = {{"source", DL_SOURCE},
                 {"valid", DL_SOURCE},
                 {"test", DL_SOURCE},
                 {"scale", DL_SCALE},
                 {"standardize", DL_STANDARDIZE},
                 {"split", DL_SPLIT},
                 {"missing", DL_MISSING}};
    int last = last_kind(f);
    bool first = last == DL_END || last == DL_LBRACE;
    if (!first) {
        uint32_t n = f->out->tokens.len;
        int before = n > 1 ? f->out->tokens.at[n - 2].kind : DL_END;
        bool second = last == DL_NAME && (before == DL_END || before == DL_LBRACE);
        return second && text_is(f, token.span, "from") ? DL_FROM : DL_NAME;
    }
    if (next_is_from(f)) return DL_NAME;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (text_is(f, token.span, words[i].text)) return words[i].kind;
    return DL_NAME;
}

/* Whether the raw tokens from `at` on begin an equation: `name =` or `name[…] =`. */
static bool begins_equation(const Filter *f, uint32_t at) {
    const Tokens *raw = &f->raw;
    if (at + 1 >= raw->len || raw->at[at].kind != DL_NAME) return false;
    if (raw->at[++at].kind == DL_LBRACKET) {
        uint32_t depth = 0;
        for (; at < raw->len && raw->at[at].kind != DL_NEWLINE; at++) {
            depth += raw->at[at].kind == DL_LBRACKET;
            depth -= raw->at[at].kind == DL_RBRACKET;
            if (depth == 0) break;
        }
        at++;
    }
    return at < raw->len && raw->at[at].kind == DL_ASSIGN;
}

static bool in_round_or_square(const Filter *f) {
    return open_kind(f) == DL_LPAREN || open_kind(f) == DL_LBRACKET;
}

/* `=` stands in no expression: what looks like an equation is one, even where more was wanted. Only
 * a list (`state m = 0,`) may go on like that. */
static void filter_newline(Filter *f) {
    int after = next_kind(f), last = last_kind(f);
    bool statement = after && begins_statement(after);
    bool equation = last != DL_COMMA && begins_equation(f, f->at + 1);
    if (in_round_or_square(f)) {
        bool binder = after == DL_PARAM && open_kind(f) == DL_LBRACKET; /* sum[param w] */
        bool inside = last == DL_LPAREN || last == DL_LBRACKET;
        if ((!statement || binder) && (!equation || inside)) return;
        while (in_round_or_square(f)) close_missing(f);
    } else if (wants_more(last) && !statement && !equation) {
        return;
    }
    if (!goes_on(after)) put_end(f);
}

/* `max[…]` is a reduction; `max(a, b)` and `fold(max, x)` name the function. */
static int reduce_word(const Filter *f) {
    int last = last_kind(f), next = next_kind(f);
    bool argument = (last == DL_LPAREN || last == DL_COMMA || last == DL_COLON) &&
                    (next == DL_COMMA || next == DL_RPAREN);
    return next == DL_LPAREN || (argument && open_kind(f) == DL_LPAREN) ? DL_NAME : DL_REDUCE;
}

/* `size n = …` is a statement; elsewhere `size` is a name like others (of a pooling window, say).
 */
static bool starts_size(const Filter *f) {
    int last = last_kind(f), next = next_kind(f);
    return (last == DL_END || last == DL_LBRACE) && next != DL_ASSIGN && next != DL_LBRACKET;
}

static void filter_one(Filter *f, Token token) {
    int kind = token.kind;
    if (f->open.len == 0 && kind >= DL_IMPORT && kind <= DL_TRAIN) f->block = kind;
    switch (kind) {
    case DL_NEWLINE: filter_newline(f); return;
    case DL_SEMICOLON:
        while (in_round_or_square(f)) close_missing(f);
        put_end(f);
        return;
    case DL_TILDE: /* never inside brackets */
        while (in_round_or_square(f)) close_missing(f);
        put(f, kind, token.span);
        return;
    case DL_LPAREN:
    case DL_LBRACKET:
    case DL_LBRACE: put_open(f, token); return;
    case DL_RPAREN:
    case DL_RBRACKET:
    case DL_RBRACE: put_close(f, token); return;
    case DL_REDUCE: put(f, reduce_word(f), token.span); return;
    case DL_SIZE: put(f, starts_size(f) ? DL_SIZE : DL_NAME, token.span); return;
    case DL_NAME:
        put(f, f->block == DL_DATA && f->open.len == 1 ? data_word(f, token) : DL_NAME, token.span);
        return;
    default: put(f, kind, token.span); return;
    }
}

TokenList tokens_read(Ctx *ctx, const Source *source, SyntaxFile *file) {
    TokenList list = {0};
    Filter f = {.ctx = ctx, .source = source, .out = &list};
    uint32_t errors = ctx->diags.errors;
    read_raw(ctx, source, file, &f.raw);
    for (f.at = 0; f.at < f.raw.len && !f.too_deep; f.at++) filter_one(&f, f.raw.at[f.at]);
    bool open = f.open.len > 0 || (list.tokens.len && wants_more(last_kind(&f)));
    list.unfinished = open && ctx->diags.errors == errors;
    if (f.too_deep) {
        list.tokens.len = 0;
        return list;
    }
    while (f.open.len) close_missing(&f);
    put_end(&f);
    return list;
}
