/* support/ctx.h: one compilation: its memory, names, sources and messages.
 *
 * Everything hangs on a Ctx; there are no globals. Two Ctx may live in two threads.
 */
#ifndef DLC_SUPPORT_CTX_H
#define DLC_SUPPORT_CTX_H

#include "support/arena.h"
#include "support/diag.h"
#include "support/map.h"
#include "support/source.h"
#include "support/text.h"
#include "support/vec.h"

/* An interned name: equal names are the same pointer. NUL-terminated. */
typedef const char *Sym;

typedef struct StageTime {
    const char *stage;
    double seconds; /* by the clock */
} StageTime;

struct Ctx {
    Arena *arena;
    Arena *scratch; /* for what a pass needs only while it runs: see arena_mark */
    struct Names *names;
    Sources sources;
    Diags diags;
    const char *stage;    /* the stage that runs now, for dlc_bug: see ctx_enter */
    double entered;       /* when it began */
    Vec(StageTime) times; /* of the stages, as far as they have been left */
    struct IrContext *ir; /* hash-consing tables; made by the first ir_ call */
    bool verify;          /* run the verifier of every stage */
};

void ctx_init(Ctx *ctx);
void ctx_free(Ctx *ctx);
/* Now this stage begins; the one before has run until now. */
void ctx_enter(Ctx *ctx, const char *stage);

Sym sym(Ctx *ctx, const char *name);
Sym sym_n(Ctx *ctx, const char *name, size_t length);
Sym sym_printf(Ctx *ctx, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
