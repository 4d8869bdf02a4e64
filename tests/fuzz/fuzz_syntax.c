/* tests/fuzz/fuzz_syntax.c: libFuzzer entry: whatever the bytes, parsing ends, and what parses is
 * printed, parsed and printed again without a change. */
#include "syntax/syntax.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_twice(Ctx *ctx, const SyntaxFile *file) {
    const char *once = syntax_print(ctx, file);
    Source *source = source_add(&ctx->sources, "again.dl", once, strlen(once));
    SyntaxFile again = syntax_parse(ctx, source);
    DLC_ASSERT(ctx, !diag_failed(ctx), again.tree->span);
    const char *twice = syntax_print(ctx, &again);
    DLC_ASSERT(ctx, strcmp(once, twice) == 0, again.tree->span);
    Text a = text_new(ctx->arena), b = text_new(ctx->arena);
    syntax_dump(&a, file->tree);
    syntax_dump(&b, again.tree);
    DLC_ASSERT(ctx, strcmp(text_string(&a), text_string(&b)) == 0, again.tree->span);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Ctx ctx;
    ctx_init(&ctx);
    Source *source = source_add(&ctx.sources, "fuzz.dl", (const char *)data, size);
    SyntaxFile file = syntax_parse(&ctx, source);
    syntax_verify(&ctx, file.tree);
    if (!diag_failed(&ctx)) print_twice(&ctx, &file);
    diag_clear(&ctx);
    SyntaxFile typed;
    SyntaxState state = syntax_parse_typed(&ctx, source, &typed);
    if (state == SYNTAX_COMPLETE) syntax_verify(&ctx, typed.tree);
    ctx_free(&ctx);
    return 0;
}
