/* support/diag.h: what the user is told.
 *
 *     Diag *d = diag_error(ctx, span, "`%s` is not defined", name);
 *     diag_note(ctx, d, other, "…");
 *     diag_help(ctx, d, "did you mean `%s`?", near);
 *
 * Messages are collected, sorted by place and shown once, at most DIAG_SHOWN of them. They are
 * sentences in the user's terms without a final full stop, and start with a lower-case letter
 * unless with a name. The very same message at the same place is kept once. What is wrong in the
 * library's text is told at the call that the user wrote. Mistakes of ours are DLC_BUG: a message
 * that names the stage and the user's line, then abort().
 */
#ifndef DLC_SUPPORT_DIAG_H
#define DLC_SUPPORT_DIAG_H

#include "support/source.h"

#include <stdio.h>

typedef struct Ctx Ctx;

enum { DIAG_SHOWN = 20 };

typedef enum Severity { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE, DIAG_HELP } Severity;

typedef struct Diag {
    Severity severity;
    Span span;
    const char *message;
    Vec(struct Diag *) attached; /* notes and helps, in order; a help's span may be nowhere */
} Diag;

/* A call that is being expanded: an error in the library's text is told at the user's call, and an
 * error in a definition of the user's has a note with it. */
typedef struct DiagCall {
    const struct DiagCall *up;
    Span span;
} DiagCall;

typedef struct Diags {
    Vec(Diag *) all;
    uint32_t errors, warnings;
    const DiagCall *calls; /* innermost first */
} Diags;

Diag *diag_error(Ctx *ctx, Span span, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
Diag *diag_warning(Ctx *ctx, Span span, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void diag_note(Ctx *ctx, Diag *diag, Span span, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void diag_help(Ctx *ctx, Diag *diag, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The place itself, or where it is the library's the user's call that led to it. */
Span diag_place(const Ctx *ctx, Span span);

/* A frame lets a stage try something and take its messages back. */
typedef struct DiagFrame {
    uint32_t all, errors, warnings;
} DiagFrame;
DiagFrame diag_frame(Ctx *ctx);
void diag_drop(Ctx *ctx, DiagFrame frame);

bool diag_failed(const Ctx *ctx); /* an error was reported since the last diag_clear */
/* Shows everything collected, caret form or one JSON object a line, and clears it. */
void diag_show(Ctx *ctx, FILE *out, bool color, bool json);
void diag_clear(Ctx *ctx);

/* The nearest of the candidates by edit distance, or NULL when none is near. */
const char *diag_nearest(const char *name, const char *const *candidates, uint32_t count);

_Noreturn void dlc_bug(const Ctx *ctx, Span span, const char *file, int line, const char *format,
                       ...) __attribute__((format(printf, 5, 6)));
#define DLC_BUG(ctx, span, ...) dlc_bug((ctx), (span), __FILE__, __LINE__, __VA_ARGS__)
#define DLC_ASSERT(ctx, condition, span)                                                           \
    ((condition) ? (void)0 : DLC_BUG((ctx), (span), "`%s` does not hold", #condition))

#endif
