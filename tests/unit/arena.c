/* tests/unit/arena.c: the arena, vectors, texts and numbers, names, sources and messages. */
#include "support/ctx.h"

#include "test.h"

#include <stdlib.h>

static void test_arena(void) {
    Arena *arena = arena_new();
    unsigned char *blocks[500];
    for (int i = 0; i < 500; i++) {
        size_t size = (size_t)i * 37 % 5000;
        blocks[i] = arena_alloc(arena, size);
        EXPECT_INT((uintptr_t)blocks[i] % 8, 0);
        bool zero = true;
        for (size_t k = 0; k < size; k++) zero = zero && blocks[i][k] == 0;
        EXPECT(zero);
        memset(blocks[i], i & 0xff, size);
    }
    for (int i = 0; i < 500; i++)
        for (size_t k = 0; k < (size_t)i * 37 % 5000; k += 97) EXPECT_INT(blocks[i][k], i & 0xff);
    char *large = arena_alloc(arena, 3 << 20);
    large[(3 << 20) - 1] = 1;
    EXPECT(arena_used(arena) > 3 << 20);
    EXPECT_STR(arena_strdup(arena, "abc"), "abc");
    EXPECT_STR(arena_strndup(arena, "abc", 2), "ab");
    EXPECT_STR(arena_printf(arena, "%d-%s", 12, "x"), "12-x");
    EXPECT_STR(arena_printf(arena, "%s", ""), "");
    arena_free(arena);
}

static bool is_zero(const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (bytes[i]) return false;
    return true;
}

/* What comes back behind a mark is zero again, and what is older stays. */
static void test_marks(void) {
    Arena *arena = arena_new();
    char *old = NULL;
    for (int round = 0; round < 3; round++) {
        ArenaMark outer = arena_mark(arena);
        old = arena_alloc(arena, 1000);
        EXPECT(is_zero(old, 1000));
        memset(old, 1, 1000);
        for (int turn = 0; turn < 5; turn++) {
            ArenaMark inner = arena_mark(arena);
            size_t used = arena_used(arena);
            for (size_t i = 0; i < 300; i++) {
                size_t size = i * 7919 % 9000 + (i % 100 == 99) * 200000;
                char *young = arena_alloc(arena, size);
                EXPECT(is_zero(young, size));
                memset(young, 2, size);
            }
            EXPECT(arena_used(arena) > used + 1000000);
            arena_release(arena, inner);
            EXPECT(arena_used(arena) == used);
        }
        for (int i = 0; i < 1000; i++) EXPECT_INT(old[i], 1);
        arena_release(arena, outer);
    }
    EXPECT(arena_used(arena) == 0);
    EXPECT(arena_most(arena) > 1000000);
    arena_free(arena);
}

/* Large objects may go in any order. */
static void test_drop(void) {
    Arena *arena = arena_new();
    enum { LARGE = 300000 };
    char *first = arena_alloc(arena, LARGE), *small = arena_alloc(arena, 100);
    char *second = arena_alloc(arena, LARGE), *third = arena_alloc(arena, LARGE);
    memset(small, 1, 100);
    memset(third, 3, LARGE);
    arena_drop(arena, second, LARGE);
    arena_drop(arena, first, LARGE);
    EXPECT(is_zero(arena_alloc(arena, LARGE), LARGE));
    for (int i = 0; i < 100; i++) EXPECT_INT(small[i], 1);
    for (int i = 0; i < LARGE; i += 1000) EXPECT_INT(third[i], 3);
    arena_drop(arena, third, LARGE);
    EXPECT(arena_used(arena) == LARGE + 100);
    arena_free(arena);
}

static void test_vec(void) {
    Arena *arena = arena_new();
    Vec(int) numbers = {0};
    for (int i = 0; i < 1000; i++) vec_push(arena, &numbers, i * i);
    EXPECT_INT(numbers.len, 1000);
    for (int i = 0; i < 1000; i++) EXPECT_INT(numbers.at[i], i * i);
    arena_free(arena);
}

static const char *number(Arena *arena, double value) {
    Text text = text_new(arena);
    text_number(&text, value);
    return text_string(&text);
}

static void test_text(void) {
    Arena *arena = arena_new();
    Text text = text_new(arena);
    EXPECT_STR(text_string(&text), "");
    for (int i = 0; i < 100; i++) text_printf(&text, "%d,", i);
    text_putn(&text, "abc", 2);
    EXPECT_INT(text.len, 292);
    EXPECT(strncmp(text_string(&text), "0,1,2,", 6) == 0);
    EXPECT_STR(text_string(&text) + 287, "99,ab");
    EXPECT_STR(number(arena, 0.1), "0.1");
    EXPECT_STR(number(arena, 100), "100");
    EXPECT_STR(number(arena, -0.5), "-0.5");
    EXPECT_STR(number(arena, 1e-4), "0.0001");
    EXPECT_STR(number(arena, 1e-5), "1e-5");
    EXPECT_STR(number(arena, 1e22), "1e22");
    EXPECT_STR(number(arena, -2500000), "-2500000");
    EXPECT_STR(number(arena, 0), "0");
    EXPECT_STR(number(arena, 1.0 / 3), "0.3333333333333333");
    EXPECT_STR(number(arena, HUGE_VAL), "inf");
    EXPECT_STR(number(arena, -HUGE_VAL), "-inf");
    EXPECT_STR(number(arena, NAN), "nan");
    srand(1);
    for (int i = 0; i < 2000; i++) {
        double value = ldexp((double)rand() / 7 - (double)rand() / 3, rand() % 600 - 300);
        EXPECT(strtod(number(arena, value), NULL) == value);
    }
    arena_free(arena);
}

static void test_names(void) {
    Ctx ctx;
    ctx_init(&ctx);
    Sym first = sym(&ctx, "first");
    for (int i = 0; i < 5000; i++) sym_printf(&ctx, "name%d", i);
    EXPECT(sym(&ctx, "first") == first);
    EXPECT(sym_n(&ctx, "first!", 5) == first);
    EXPECT(sym(&ctx, "First") != first);
    EXPECT(sym(&ctx, "name4321") == sym_printf(&ctx, "name%d", 4321));
    EXPECT_STR(sym_printf(&ctx, "%300s", "x") + 299, "x");
    ctx_free(&ctx);
}

static void test_sources(void) {
    Ctx ctx;
    ctx_init(&ctx);
    Source *a = source_add(&ctx.sources, "a", "one\ntwo\r\nthree", 14);
    Source *b = source_add(&ctx.sources, "b", "", 0);
    Source *c = source_add(&ctx.sources, "c", "x", 1);
    EXPECT(a->begin >= 1);
    Location at = source_locate(&ctx.sources, (Span){a->begin + 4, a->begin + 7});
    EXPECT(at.source == a);
    EXPECT_INT(at.line, 2);
    EXPECT_INT(at.column, 1);
    EXPECT_INT(at.end_column, 4);
    EXPECT_INT(at.line_length, 3);
    at = source_locate(&ctx.sources, (Span){a->begin + 1, a->begin + 11});
    EXPECT_INT(at.line, 1);
    EXPECT_INT(at.end_line, 3);
    EXPECT_INT(at.end_column, 3);
    at = source_locate(&ctx.sources, (Span){a->begin + 14, a->begin + 14});
    EXPECT(at.source == a);
    EXPECT_INT(at.column, 6);
    EXPECT(source_of(&ctx.sources, (Span){b->begin, b->begin}) == b);
    EXPECT(source_of(&ctx.sources, (Span){c->begin, c->begin + 1}) == c);
    EXPECT(source_of(&ctx.sources, (Span){0, 0}) == NULL);
    EXPECT(source_of(&ctx.sources, (Span){9999, 9999}) == NULL);
    EXPECT(source_read(&ctx.sources, "/nowhere/at/all.dl") == NULL);
    EXPECT(source_read(&ctx.sources, "/") == NULL);
    Span joined = span_join((Span){5, 7}, (Span){2, 3});
    EXPECT_INT(joined.begin, 2);
    EXPECT_INT(joined.end, 7);
    joined = span_join((Span){0, 0}, (Span){2, 3});
    EXPECT_INT(joined.begin, 2);
    ctx_free(&ctx);
}

/* What diag_show prints, to be freed. */
static char *shown(Ctx *ctx, bool json) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    diag_show(ctx, out, false, json);
    fclose(out);
    return text;
}

static void test_messages(void) {
    Ctx ctx;
    ctx_init(&ctx);
    Source *a = source_add(&ctx.sources, "a.dl", "h = f(x)\n\ty = \"q\"\n", 18);
    Diag *later = diag_error(&ctx, (Span){a->begin + 10, a->begin + 11}, "`%s` is wrong", "y");
    diag_note(&ctx, later, (Span){a->begin, a->begin + 8}, "see here");
    diag_help(&ctx, later, "do better");
    diag_warning(&ctx, (Span){a->begin + 4, a->begin + 8}, "unused");
    diag_error(&ctx, (Span){a->begin + 10, a->begin + 11}, "`y` is wrong");
    EXPECT_INT(ctx.diags.errors, 1);
    EXPECT(diag_failed(&ctx));
    char *text = shown(&ctx, false);
    EXPECT_STR(text, "a.dl:1:5: warning: unused\n"
                     "    1 | h = f(x)\n"
                     "      |     ^~~~\n"
                     "a.dl:2:2: error: `y` is wrong\n"
                     "    2 | \ty = \"q\"\n"
                     "      | \t^\n"
                     "a.dl:1:1: note: see here\n"
                     "    1 | h = f(x)\n"
                     "      | ^~~~~~~~\n"
                     "help: do better\n");
    free(text);
    EXPECT(!diag_failed(&ctx));
    diag_error(&ctx, (Span){a->begin + 14, a->begin + 17}, "a \"quote\"");
    text = shown(&ctx, true);
    EXPECT_STR(text,
               "{\"severity\":\"error\",\"file\":\"a.dl\",\"line\":2,\"column\":6,\"end_line\":2,"
               "\"end_column\":9,\"message\":\"a \\\"quote\\\"\"}\n");
    free(text);
    DiagFrame frame = diag_frame(&ctx);
    diag_error(&ctx, (Span){0, 0}, "tried");
    diag_drop(&ctx, frame);
    EXPECT(!diag_failed(&ctx));
    for (int i = 0; i < 5000; i++) diag_error(&ctx, (Span){0, 0}, "number %d", i);
    text = shown(&ctx, false);
    EXPECT(strstr(text, "error: number 19\n") != NULL);
    EXPECT(strstr(text, "number 20") == NULL);
    EXPECT(strstr(text, "… and 4980 more\n") != NULL);
    free(text);
    ctx_free(&ctx);
}

static void test_long_lines(void) {
    Ctx ctx;
    ctx_init(&ctx);
    char line[1000];
    memset(line, 'x', sizeof line);
    Source *a = source_add(&ctx.sources, "a", line, sizeof line);
    diag_error(&ctx, (Span){a->begin + 500, a->begin + 510}, "in the middle");
    diag_error(&ctx, (Span){a->begin, a->begin + 1000}, "everything");
    diag_error(&ctx, (Span){a->begin + 1000, a->begin + 1000}, "the end");
    char *text = shown(&ctx, false);
    for (char *p = text, *end; (end = strchr(p, '\n')); p = end + 1) EXPECT(end - p < 190);
    EXPECT(strstr(text, "xxx^~~~") == NULL);
    EXPECT(strstr(text, "   ^~~~~~~~~~\n") != NULL);
    free(text);
    ctx_free(&ctx);
}

static void test_nearest(void) {
    static const char *const words[] = {"model", "layer", "data", "train", "width"};
    EXPECT_STR(diag_nearest("modle", words, 5), "model");
    EXPECT_STR(diag_nearest("wdith", words, 5), "width");
    EXPECT(diag_nearest("completely", words, 5) == NULL);
    EXPECT(diag_nearest("x", words, 5) == NULL);
    EXPECT(diag_nearest("", words, 5) == NULL);
}

int main(void) {
    test_arena();
    test_marks();
    test_drop();
    test_vec();
    test_text();
    test_names();
    test_sources();
    test_messages();
    test_long_lines();
    test_nearest();
    TEST_END();
}
