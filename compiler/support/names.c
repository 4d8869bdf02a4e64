/* support/names.c: a compilation's set-up, and its interned names. */
#include "support/ctx.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct Name {
    uint32_t hash, length;
    const char *text;
} Name;

struct Names {
    Name *slots;
    uint32_t nslots, len;
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

void ctx_init(Ctx *ctx) {
    memset(ctx, 0, sizeof *ctx);
    ctx->arena = arena_new();
    ctx->scratch = arena_new();
    ctx->names = ARENA_NEW(ctx->arena, struct Names);
    ctx->stage = "start";
    ctx->entered = now();
    sources_init(&ctx->sources, ctx->arena);
}

static StageTime *time_of(Ctx *ctx, const char *stage) {
    for (uint32_t i = 0; i < ctx->times.len; i++)
        if (strcmp(ctx->times.at[i].stage, stage) == 0) return &ctx->times.at[i];
    vec_push(ctx->arena, &ctx->times, ((StageTime){stage, 0}));
    return &ctx->times.at[ctx->times.len - 1];
}

void ctx_enter(Ctx *ctx, const char *stage) {
    double begins = now();
    time_of(ctx, ctx->stage)->seconds += begins - ctx->entered;
    ctx->stage = stage;
    ctx->entered = begins;
}

void ctx_free(Ctx *ctx) {
    arena_free(ctx->arena);
    arena_free(ctx->scratch);
    memset(ctx, 0, sizeof *ctx);
}

/* FNV-1a */
static uint32_t hash_bytes(const char *text, size_t length) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash;
}

static void grow(Ctx *ctx, struct Names *names) {
    struct Names bigger = {.nslots = names->nslots ? names->nslots * 2 : 512, .len = names->len};
    bigger.slots = ARENA_ARRAY(ctx->arena, Name, bigger.nslots);
    for (uint32_t i = 0; i < names->nslots; i++) {
        if (!names->slots[i].text) continue;
        uint32_t slot = names->slots[i].hash & (bigger.nslots - 1);
        while (bigger.slots[slot].text) slot = (slot + 1) & (bigger.nslots - 1);
        bigger.slots[slot] = names->slots[i];
    }
    arena_drop(ctx->arena, names->slots, names->nslots * sizeof *names->slots);
    *names = bigger;
}

Sym sym_n(Ctx *ctx, const char *text, size_t length) {
    struct Names *names = ctx->names;
    if (names->len * 2 >= names->nslots) grow(ctx, names);
    uint32_t hash = hash_bytes(text, length), slot = hash & (names->nslots - 1);
    for (; names->slots[slot].text; slot = (slot + 1) & (names->nslots - 1)) {
        const Name *name = &names->slots[slot];
        if (name->hash == hash && name->length == length && memcmp(name->text, text, length) == 0)
            return name->text;
    }
    names->slots[slot] = (Name){hash, (uint32_t)length, arena_strndup(ctx->arena, text, length)};
    names->len++;
    return names->slots[slot].text;
}

Sym sym(Ctx *ctx, const char *name) {
    return sym_n(ctx, name, strlen(name));
}

Sym sym_printf(Ctx *ctx, const char *format, ...) {
    char small[256];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    Sym result;
    if (length < (int)sizeof small) {
        result = sym_n(ctx, small, length < 0 ? 0 : (size_t)length);
    } else {
        char *large = arena_alloc(ctx->arena, (size_t)length + 1);
        vsnprintf(large, (size_t)length + 1, format, again);
        result = sym_n(ctx, large, (size_t)length);
    }
    va_end(again);
    return result;
}
