/* support/diag.c: collects messages and shows them. */
#include "support/ctx.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {"error", "warning", "note", "help"};
static const char *const colors[] = {"\033[1;31m", "\033[1;35m", "\033[1;36m", "\033[1;32m"};

static Diag *make(Ctx *ctx, Severity severity, Span span, const char *format, va_list args) {
    Text text = text_new(ctx->arena);
    text_vprintf(&text, format, args);
    Diag *diag = ARENA_NEW(ctx->arena, Diag);
    *diag = (Diag){.severity = severity, .span = span, .message = text_string(&text)};
    return diag;
}

/* More than anybody reads: further ones are only counted, so that a large broken file is still
 * answered at once. */
enum { DIAG_KEPT = 1000 };

static bool is_library(const Ctx *ctx, Span span) {
    const Source *source = source_of(&ctx->sources, span);
    return source && source->is_library;
}

/* The first call from which on everything around `span` is the user's. */
static const DiagCall *outside_library(const Ctx *ctx, Span *span) {
    const DiagCall *call = ctx->diags.calls;
    for (; call && is_library(ctx, *span); call = call->up) *span = call->span;
    return call;
}

Span diag_place(const Ctx *ctx, Span span) {
    outside_library(ctx, &span);
    return span;
}

enum { CALLS_NOTED = 3 };

/* Notes on how the text of a definition came to be expanded. */
static void note_calls(Ctx *ctx, Diag *diag, Span written) {
    const DiagCall *call = outside_library(ctx, &diag->span);
    if (diag->span.begin != written.begin)
        diag_note(ctx, diag, written, "in what the call stands for");
    int noted = 0;
    for (; call && noted < CALLS_NOTED; call = call->up) {
        bool around = call->span.begin <= diag->span.begin && diag->span.end <= call->span.end;
        if (around || is_library(ctx, call->span)) continue;
        diag_note(ctx, diag, call->span, "called from here");
        noted++;
    }
}

static Diag *add(Ctx *ctx, Severity severity, Span written, const char *format, va_list args) {
    Diag *diag = make(ctx, severity, written, format, args);
    Diags *diags = &ctx->diags;
    if (severity == DIAG_ERROR) note_calls(ctx, diag, written);
    Span span = diag->span;
    bool full = diags->all.len >= DIAG_KEPT;
    for (uint32_t i = 0; i < diags->all.len && !full; i++) {
        Diag *other = diags->all.at[i];
        bool same = other->severity == severity && other->span.begin == span.begin &&
                    other->span.end == span.end;
        if (same && strcmp(other->message, diag->message) == 0) return diag; /* not shown again */
    }
    if (!full) vec_push(ctx->arena, &diags->all, diag);
    if (severity == DIAG_ERROR) diags->errors++;
    if (severity == DIAG_WARNING) diags->warnings++;
    return diag;
}

Diag *diag_error(Ctx *ctx, Span span, const char *format, ...) {
    va_list args;
    va_start(args, format);
    Diag *diag = add(ctx, DIAG_ERROR, span, format, args);
    va_end(args);
    return diag;
}

Diag *diag_warning(Ctx *ctx, Span span, const char *format, ...) {
    va_list args;
    va_start(args, format);
    Diag *diag = add(ctx, DIAG_WARNING, span, format, args);
    va_end(args);
    return diag;
}

void diag_note(Ctx *ctx, Diag *diag, Span span, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vec_push(ctx->arena, &diag->attached, make(ctx, DIAG_NOTE, span, format, args));
    va_end(args);
}

void diag_help(Ctx *ctx, Diag *diag, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vec_push(ctx->arena, &diag->attached, make(ctx, DIAG_HELP, (Span){0, 0}, format, args));
    va_end(args);
}

DiagFrame diag_frame(Ctx *ctx) {
    return (DiagFrame){ctx->diags.all.len, ctx->diags.errors, ctx->diags.warnings};
}

void diag_drop(Ctx *ctx, DiagFrame frame) {
    ctx->diags.all.len = frame.all;
    ctx->diags.errors = frame.errors;
    ctx->diags.warnings = frame.warnings;
}

bool diag_failed(const Ctx *ctx) {
    return ctx->diags.errors > 0;
}

void diag_clear(Ctx *ctx) {
    ctx->diags = (Diags){.calls = ctx->diags.calls};
}

/* ---- showing ----------------------------------------------------------------------------- */

typedef struct Shower {
    const Ctx *ctx;
    FILE *out;
    bool color, json;
} Shower;

enum { LINE_SHOWN = 160 };

/* The line and, under it, the range: `~~~^~` with the caret at the first column of it. */
static void show_line(const Shower *s, const Location *at) {
    uint32_t first = at->column - 1;
    uint32_t last =
        at->end_line == at->line && at->end_column > at->column ? at->end_column - 2 : first;
    if (at->end_line != at->line) last = at->line_length ? at->line_length - 1 : first;
    if (last < first) last = first;
    /* A very long line is cut around the range. */
    uint32_t begin = first > LINE_SHOWN - 40 ? first - 40 : 0;
    uint32_t end = at->line_length > begin + LINE_SHOWN ? begin + LINE_SHOWN : at->line_length;
    fprintf(s->out, "%5u | %s%.*s%s\n", at->line, begin ? "..." : "", (int)(end - begin),
            at->line_text + begin, end < at->line_length ? "..." : "");
    fprintf(s->out, "      | %s", begin ? "   " : "");
    for (uint32_t i = begin; i < first; i++)
        fputc(i < at->line_length && at->line_text[i] == '\t' ? '\t' : ' ', s->out);
    fputs(s->color ? colors[DIAG_HELP] : "", s->out);
    fputc('^', s->out);
    for (uint32_t i = first + 1; i <= last && i < end; i++) fputc('~', s->out);
    fprintf(s->out, "%s\n", s->color ? "\033[0m" : "");
}

static void show_one(const Shower *s, const Diag *diag, bool with_line) {
    Location at = source_locate(&s->ctx->sources, diag->span);
    if (at.source) fprintf(s->out, "%s:%u:%u: ", at.source->path, at.line, at.column);
    fprintf(s->out, "%s%s:%s %s\n", s->color ? colors[diag->severity] : "", words[diag->severity],
            s->color ? "\033[0m" : "", diag->message);
    if (at.source && with_line) show_line(s, &at);
}

static void put_json(FILE *out, const char *text) {
    fputc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if (*p < 0x20)
            fprintf(out, "\\u%04x", *p);
        else
            fputc(*p, out);
    }
    fputc('"', out);
}

static void show_json(const Shower *s, const Diag *diag) {
    Location at = source_locate(&s->ctx->sources, diag->span);
    fprintf(s->out, "{\"severity\":\"%s\"", words[diag->severity]);
    if (at.source) {
        fputs(",\"file\":", s->out);
        put_json(s->out, at.source->path);
        fprintf(s->out, ",\"line\":%u,\"column\":%u,\"end_line\":%u,\"end_column\":%u", at.line,
                at.column, at.end_line, at.end_column);
    }
    fputs(",\"message\":", s->out);
    put_json(s->out, diag->message);
    if (diag->attached.len) {
        fputs(",\"notes\":[", s->out);
        for (uint32_t i = 0; i < diag->attached.len; i++) {
            if (i) fputc(',', s->out);
            show_json(s, diag->attached.at[i]);
        }
        fputc(']', s->out);
    }
    fputc('}', s->out);
}

static int by_place(const void *a, const void *b) {
    const Diag *x = *(Diag *const *)a, *y = *(Diag *const *)b;
    if (x->span.begin != y->span.begin) return x->span.begin < y->span.begin ? -1 : 1;
    if (x->span.end != y->span.end) return x->span.end < y->span.end ? -1 : 1;
    return (int)x->severity - (int)y->severity;
}

void diag_show(Ctx *ctx, FILE *out, bool color, bool json) {
    Shower s = {ctx, out, color, json};
    Diags *diags = &ctx->diags;
    if (diags->all.len) qsort(diags->all.at, diags->all.len, sizeof *diags->all.at, by_place);
    for (uint32_t i = 0; i < diags->all.len && (json || i < DIAG_SHOWN); i++) {
        const Diag *diag = diags->all.at[i];
        if (json) {
            show_json(&s, diag);
            fputc('\n', out);
            continue;
        }
        show_one(&s, diag, true);
        for (uint32_t k = 0; k < diag->attached.len; k++) show_one(&s, diag->attached.at[k], true);
    }
    uint32_t total = diags->errors + diags->warnings;
    if (!json && total > DIAG_SHOWN) fprintf(out, "… and %u more\n", total - DIAG_SHOWN);
    diag_clear(ctx);
}

/* ---- near names ---------------------------------------------------------------------------- */

enum { MAX_NAME = 64 };

/* Edit distance with transpositions counted as one; capped by the length of the buffers. */
static unsigned distance(const char *a, const char *b) {
    size_t na = strlen(a), nb = strlen(b);
    unsigned before[MAX_NAME + 1], row[MAX_NAME + 1], next[MAX_NAME + 1];
    if (na > MAX_NAME || nb > MAX_NAME) return MAX_NAME;
    for (size_t j = 0; j <= nb; j++) row[j] = (unsigned)j, before[j] = 0;
    for (size_t i = 1; i <= na; i++) {
        next[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned best = row[j - 1] + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (next[j - 1] + 1 < best) best = next[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < best) best = before[j - 2] + 1;
            next[j] = best;
        }
        memcpy(before, row, sizeof row);
        memcpy(row, next, sizeof next);
    }
    return row[nb];
}

const char *diag_nearest(const char *name, const char *const *candidates, uint32_t count) {
    const char *best = NULL;
    unsigned nearest = (unsigned)strlen(name) / 3 + 1;
    for (uint32_t i = 0; i < count; i++) {
        unsigned d = distance(name, candidates[i]);
        if (d > nearest || d >= strlen(name) || (best && d == nearest)) continue;
        best = candidates[i];
        nearest = d;
    }
    return best;
}

/* ---- mistakes of ours ------------------------------------------------------------------------ */

_Noreturn void dlc_bug(const Ctx *ctx, Span span, const char *file, int line, const char *format,
                       ...) {
    Location at = ctx ? source_locate(&ctx->sources, span) : (Location){0};
    va_list args;
    va_start(args, format);
    fprintf(stderr, "dlc: a mistake in the compiler, stage %s (%s:%d): ",
            ctx && ctx->stage ? ctx->stage : "?", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    if (at.source)
        fprintf(stderr, "  while compiling %s:%u:%u\n", at.source->path, at.line, at.column);
    fputs("  please report it with the file that caused it\n", stderr);
    abort();
}
