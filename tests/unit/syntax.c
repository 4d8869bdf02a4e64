/* tests/unit/syntax.c: parsing, its messages, the formatter, and what broken text does. */
#include "syntax/syntax.h"

#include "test.h"

#include <stdlib.h>

/* ---- helpers ----------------------------------------------------------------------------------
 */

typedef struct Parsed {
    Ctx ctx;
    SyntaxFile file;
} Parsed;

static Parsed *parse_n(const char *text, size_t length) {
    Parsed *p = calloc(1, sizeof *p);
    ctx_init(&p->ctx);
    p->file = syntax_parse(&p->ctx, source_add(&p->ctx.sources, "t.dl", text, length));
    syntax_verify(&p->ctx, p->file.tree);
    return p;
}

static Parsed *parse(const char *text) {
    return parse_n(text, strlen(text));
}

static void drop(Parsed *p) {
    ctx_free(&p->ctx);
    free(p);
}

static const char *print(Parsed *p) {
    return syntax_print(&p->ctx, &p->file);
}

static const char *dump(Parsed *p) {
    Text text = text_new(p->ctx.arena);
    syntax_dump(&text, p->file.tree);
    return text_string(&text);
}

/* "line:column: message" of the message that stands first. */
static const char *first_message(Parsed *p) {
    const Diag *first = NULL;
    for (uint32_t i = 0; i < p->ctx.diags.all.len; i++) {
        const Diag *diag = p->ctx.diags.all.at[i];
        if (!first || diag->span.begin < first->span.begin) first = diag;
    }
    if (!first) return "";
    Location at = source_locate(&p->ctx.sources, first->span);
    return arena_printf(p->ctx.arena, "%u:%u: %s", at.line, at.column, first->message);
}

/* Printing and parsing again gives the same tree, and printing that the same text. */
static void round_trip(const char *text) {
    Parsed *a = parse(text);
    test_checks++;
    if (diag_failed(&a->ctx)) {
        test_failures++;
        printf("%s\n  does not parse: %s\n", text, first_message(a));
        drop(a);
        return;
    }
    const char *once = print(a);
    Parsed *b = parse(once);
    EXPECT_STR(first_message(b), "");
    EXPECT_STR(dump(b), dump(a));
    EXPECT_STR(print(b), once);
    /* Without its source a tree prints as text that means the same. */
    Text alone = text_new(a->ctx.arena);
    syntax_print_tree(&alone, a->file.tree);
    Parsed *c = parse(text_string(&alone));
    EXPECT_STR(first_message(c), "");
    EXPECT_STR(dump(c), dump(a));
    drop(a);
    drop(b);
    drop(c);
}

static void formats(const char *text, const char *expected) {
    Parsed *p = parse(text);
    EXPECT_STR(first_message(p), "");
    if (!diag_failed(&p->ctx)) EXPECT_STR(print(p), expected);
    drop(p);
    round_trip(text);
}

/* An expression, as `fn f(x) = …`. */
static void formats_as(const char *expression, const char *expected) {
    char text[512], wanted[512];
    snprintf(text, sizeof text, "fn f() = %s", expression);
    snprintf(wanted, sizeof wanted, "fn f() = %s\n", expected);
    formats(text, wanted);
}

static void fails(const char *text, const char *message) {
    Parsed *p = parse(text);
    EXPECT_STR(first_message(p), message);
    drop(p);
}

static void fails_times(const char *text, unsigned errors) {
    Parsed *p = parse(text);
    EXPECT_INT(p->ctx.diags.errors, errors);
    drop(p);
}

/* ---- what is valid ----------------------------------------------------------------------------
 */

static const char *const valid[] = {
    "# lenet.dl\n"
    "model lenet {\n"
    "    input  x[1, 28, 28]\n"
    "    target y: class(10)\n"
    "\n"
    "    h      = x -> conv2d(32, 5, pad: 2) -> relu -> max_pool(2)\n"
    "               -> conv2d(64, 5, pad: 2) -> relu -> max_pool(2)\n"
    "               -> flatten -> dense(512) -> relu -> dropout(0.5)\n"
    "    logits = h -> dense(10)\n"
    "    output p = softmax(logits)\n"
    "\n"
    "    loss      cross_entropy(logits, y) + l2(1e-4)\n"
    "    metric    accuracy(logits, y)\n"
    "    optimizer adam(lr: 1e-3)\n"
    "}\n"
    "\n"
    "data mnist {\n"
    "    source idx(\"train-images-idx3-ubyte.gz\", \"train-labels-idx1-ubyte.gz\")\n"
    "    scale  x / 255\n"
    "    split  train 90, valid 10\n"
    "}\n"
    "\n"
    "train lenet on mnist { epochs: 5, batch: 64 }\n",

    "fn relu(x)    = max(x, 0)\n"
    "fn sigmoid(x) = 1 / (1 + exp(-x))\n"
    "layer dense(x[.., I], units) {\n"
    "    param w[units, I] ~ glorot_uniform\n"
    "    param b[units]    ~ zeros\n"
    "    y[.., u] = b[u] + sum[i] x[.., i] * w[u, i]\n"
    "}\n"
    "layer conv2d(x[C, H, W], filters, kernel, stride: 1, pad: 0) {\n"
    "    param k[filters, C, kernel, kernel] ~ he_uniform\n"
    "    param b[filters] ~ zeros\n"
    "    y[f, i < (H + 2*pad - kernel)/stride + 1, j < (W + 2*pad - kernel)/stride + 1] =\n"
    "        b[f] + sum[c, u, v] (x[c, stride*i + u - pad, stride*j + v - pad] else 0)\n"
    "                            * k[f, c, u, v]\n"
    "}\n"
    "layer max_pool(x[C, H, W], size) {\n"
    "    y[c, i < H/size, j < W/size] = max[u < size, v < size] x[c, size*i + u, size*j + v]\n"
    "}\n",

    "layer lstm(x[T, I], units) {\n"
    "    param wx[4, units, I]     ~ glorot_uniform\n"
    "    zx[t, g, u] = b[g, u] + sum[i] x[t, i] * wx[g, u, i]\n"
    "    z[t, g, u]  = zx[t, g, u] + sum[v] (h[t-1, v] else 0) * wh[g, u, v]\n"
    "    c[t, u] = sigmoid(z[t, 0, u]) * tanh(z[t, 2, u]) + sigmoid(z[t, 1, u]) * (c[t-1, u] else "
    "0)\n"
    "}\n"
    "layer attention(x[T, D], heads, causal: true) {\n"
    "    size E = D / heads\n"
    "    param wq[heads, E, D], wk[heads, E, D], wo[D, heads, E] ~ glorot_uniform\n"
    "    s[h, t, u] = if causal and u > t then -inf else sum[e] q[h, t, e] * k[h, u, e] / sqrt(E)\n"
    "    p          = softmax(s)\n"
    "}\n"
    "layer cross_entropy(z[K], y: class(K)) {\n"
    "    m = stop(max[k] z[k])\n"
    "    l = m + log(sum[k] exp(z[k] - m)) - z[y]\n"
    "}\n"
    "layer embedding(t[..]: class(V), dim) { y[.., d] = w[t[..], d] }\n"
    "optimizer adam(lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8) {\n"
    "    state m = 0, v = 0\n"
    "    m = beta1*m + (1 - beta1)*g\n"
    "    v = beta2*v + (1 - beta2)*g^2\n"
    "    w = w - lr * (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps)\n"
    "}\n",

    "import \"blocks.dl\"\n"
    "init scaled(w[..], gain: 1) = gain * normal() / sqrt(fan_in)\n"
    "metric rmse(p[..], y[..]) = sqrt(mean[batch, ..] (p[..] - y[..])^2)\n"
    "layer l1(rate) = rate * sum[param w] abs(w)\n"
    "layer norm(x[..]) {\n"
    "    state m[4] = 0, v = 1\n"
    "    repeat 3 { x = x -> dense(2) -> relu }\n"
    "    repeat 3 {\n"
    "        a = 1; b = 2\n"
    "        repeat 2 { c = 3 }\n"
    "    }\n"
    "}\n"
    "data d {\n"
    "    source csv(\"a.csv\", header: true); valid csv(\"b.csv\"); test csv(\"c.csv\")\n"
    "    train csv(\"d \\\"quoted\\\" \\\\ \\t.csv\")\n"
    "    x from 1..4, \"age\", \"a\"..\"c\", onehot(\"place\")\n"
    "    y from 5\n"
    "    standardize x, y\n"
    "    scale y * 2 - 1\n"
    "    split train 80, valid 10, test 10, in_order\n"
    "    missing mean\n"
    "}\n"
    "train m on d {\n"
    "    epochs: 20\n"
    "    batch: 16, seed: 3\n"
    "}\n",

    "model flat {\n"
    "    input dense1.x[8, 4], h.2\n"
    "    param dense1.w[8, 4] ~ glorot_uniform, decay: false\n"
    "    grad.dense1.w[i < 8, j < 4] = sum[k < 4] dense1.x[i, k] * (h.2[j / 2 % 3] else 0)\n"
    "    best = argmax[i < 4] h.2\n"
    "    output a, b\n"
    "    output c[i] = 1\n"
    "    metric f(a), g(b)\n"
    "}\n",

    /* comments everywhere */
    "# one\n"
    "\n"
    "\n"
    "# two\n"
    "model m { # head\n"
    "    # own\n"
    "    input x # behind\n"
    "\n"
    "    # between\n"
    "\n"
    "    h = x -> a # first\n"
    "          -> b(1, # inner\n"
    "               2) # second\n"
    "          # alone\n"
    "          -> c   # third\n"
    "    y = f(x, # hoisted\n"
    "          2) # last\n"
    "    # end of block\n"
    "}  # after\n"
    "# end\n",
};

static void test_valid(void) {
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++) round_trip(valid[i]);
    round_trip("");
    round_trip("\n\n");
    round_trip("# only a comment");
    round_trip("model m {}");
    round_trip("model m {\n# nothing\n}\n");
    round_trip("model m\n{\ninput x\n}");
    round_trip("fn f() = 1; fn g() = 2\r\nfn h() = 3\r\n");
    round_trip("fn f(x, g: max, h: sin) = g(x, fold(max, min, x))");
    round_trip("layer f(size, size2: size) { size n = size; y = size }");
}

static void test_precedence(void) {
    formats_as("((a + (b)) + c) - (d - e)", "a + b + c - (d - e)");
    formats_as("(a * b) * (c / d)", "a * b * (c / d)");
    formats_as("(-x)^2 + -(x^2) - (-y)", "(-x)^2 + -x^2 - -y");
    formats_as("(2^3)^2 + 2^(3^2) + 2^(-x)", "(2^3)^2 + 2^3^2 + 2^-x");
    formats_as("(sum[i] (a[i] * b[i])) + c", "sum[i] a[i] * b[i] + c");
    formats_as("(sum[i] a[i]) * b", "(sum[i] a[i]) * b");
    formats_as("b * (sum[i] a[i])", "b * sum[i] a[i]");
    formats_as("(2 * sum[i] a[i]) / n", "(2 * sum[i] a[i]) / n");
    formats_as("2 * sum[i] a[i] / n", "2 * sum[i] a[i] / n");
    formats_as("sum[i] (a[i] + 1)", "sum[i] (a[i] + 1)");
    formats_as("sum[i] (sum[j] a[i, j])", "sum[i] sum[j] a[i, j]");
    formats_as("a * (-(sum[i] x)) % 2", "(a * -sum[i] x) % 2");
    formats_as("(sum[i] x)^2", "(sum[i] x)^2");
    formats_as("not (a and b) or (not a) and b", "not (a and b) or not a and b");
    formats_as("(a or b) and c", "(a or b) and c");
    formats_as("(a < b) == c", "(a < b) == c");
    formats_as("if (if a then b else c) then (d) else (if e then f else g)",
               "if if a then b else c then d else if e then f else g");
    formats_as("1 + (if a then b else c)", "1 + (if a then b else c)");
    formats_as("(a -> f) -> g(1)", "a -> f -> g(1)");
    formats_as("a -> (f -> g)", "a -> (f -> g)");
    formats_as("(f -> g)(x)[i]", "(f -> g)(x)[i]");
    formats_as("(a + b)[i, ..]", "(a + b)[i, ..]");
    formats_as("((x[i] else 0)) + f((y[i] else z[i] else 0))",
               "(x[i] else 0) + f(y[i] else z[i] else 0)");
    formats_as("x[2*i + 1, (H+1)/2, f(2*i)]", "x[2*i + 1, (H + 1)/2, f(2 * i)]");
    formats_as("(max)", "(max)");
    formats_as("f((max), g: (sum))", "f(max, g: sum)");
    formats_as("0.5 + .5 + 1e-4 + 1E+3", "0.5 + .5 + 1e-4 + 1E+3");
    formats_as("train and true or false", "train and true or false");
}

static void test_lines(void) {
    formats("fn f(x) = x\n  + 1\n  * 2\nfn g(x) =\n  3\n", "fn f(x) = x + 1 * 2\nfn g(x) = 3\n");
    formats("model m{input x;output y=x}", "model m {\n    input  x\n    output y = x\n}\n");
    formats("train m on d {epochs:1,\nbatch:2,seed:3}",
            "train m on d {\n    epochs: 1\n    batch: 2, seed: 3\n}\n");
    formats("fn f(x) =\n    x\n\n\n\nfn g(x) = x   # a\nfn hh(x) = x    # b",
            "fn f(x) = x\n\nfn g(x)  = x  # a\nfn hh(x) = x  # b\n");
    formats(
        "layer f(a) {\n    h = a -> one_quite_long_name(1, 2) -> another_quite_long_name(3, 4) -> "
        "third(5, 6) -> fourth(7777)\n}",
        "layer f(a) {\n"
        "    h = a -> one_quite_long_name(1, 2) -> another_quite_long_name(3, 4) -> third(5, 6)\n"
        "          -> fourth(7777)\n}\n");
    formats("fn f(x) = a_long_function_name(first_argument_of_it, second_argument_of_it) + "
            "another_function_name(third_argument, fourth_argument)",
            "fn f(x) =\n"
            "    a_long_function_name(first_argument_of_it, second_argument_of_it) +\n"
            "    another_function_name(third_argument, fourth_argument)\n");
    formats("model m {\n    # above\n    x = 1 # behind\n    ; y = 2\n}",
            "model m {\n    # above\n    x = 1  # behind\n    y = 2\n}\n");
    formats("fn f() = 1 # no newline", "fn f() = 1  # no newline\n");
    formats("# doc\nfn f() = 1\n\n\n# last\n\n", "# doc\nfn f() = 1\n\n# last\n");
}

static void test_doc(void) {
    Parsed *p = parse("# not this\n\n# first\n#second\nfn f() = 1\nfn g() = 2 # no\nfn h() = 3");
    EXPECT_STR(p->file.tree->file.items.at[0]->def.doc, "first\nsecond");
    EXPECT(p->file.tree->file.items.at[1]->def.doc == NULL);
    EXPECT(p->file.tree->file.items.at[2]->def.doc == NULL);
    drop(p);
}

/* ---- what is broken ---------------------------------------------------------------------------
 */

static void test_messages(void) {
    fails("model m {\n  y = x +\n}",
          "2:10: expected an expression after `+`, found the end of the line");
    fails("fn f() = (1 + 2\nfn g() = 3", "1:16: `)` is missing to close a `(`");
    fails("model m {\n  y = f(x\n  z = 2\n}", "2:10: `)` is missing to close a `(`");
    fails("model m {\n  y = x[1\n}", "2:10: `]` is missing to close a `[`");
    fails("model m {\n  y = x", "2:8: `}` is missing to close a `{`");
    fails("fn f() = 1)", "1:11: this `)` closes nothing");
    fails("fn f() = \"abc", "1:10: this string is not closed: `\"` is missing");
    fails("fn f() = \"a\\qb\"",
          "1:12: `\\q` means nothing in a string; there are \\n, \\t, \\\" and \\\\");
    fails("fn f() = 1 @ 2", "1:12: the character `@` is not part of the language");
    fails("fn f() = 1 \x01 2", "1:12: the character with code 1 is not part of the language");
    fails("fn f() = 1.5e", "1:10: `1.5e` is not a number");
    fails("fn f() = 2x", "1:10: `2x` is not a number");
    fails("fn f() = 1e999", "1:10: the number 1e999 is too large; the largest is about 1.8e308");
    fails("fn f() = 99999999999999999999",
          "1:10: the whole number 99999999999999999999 is too large to be exact");
    fails("fn f() = a < b < c", "1:16: `<` is not expected after `b`");
    fails("fn f() = if a then b",
          "1:21: this `if` has no `else`: expected `else`, found the end of the line");
    fails("fn f() = f(if a then b)", "1:23: this `if` has no `else`: expected `else`, found `)`");
    fails("fn loss() = 1", "1:4: `loss` is a reserved word; it cannot be a name here");
    fails("model m {\n  input sum\n}", "2:9: `sum` is a reserved word; it cannot be a name here");
    fails("modle m { input x }",
          "1:1: expected an item (model, layer, fn, optimizer, metric, init, "
          "data, train or import), found `modle`");
    fails("model m { inptu x }", "1:17: expected `=` or `[` after `inptu`, found `x`");
    fails("data d { scael x }", "1:16: expected `from` after `scael`, found `x`");
    fails("train m { }", "1:9: expected `on` after `m`, found `{`");
    fails("fn f(x = 1) = x", "1:8: expected `:`, `,`, `)` or `[` after `x`, found `=`");
    fails("fn f() = f(x) else 0",
          "1:10: `else` without `if` stands behind an element of a tensor only");
    fails("fn f() = 1 + x[i] else 0", "1:19: `else` is not expected after `]`");
    fails("model m { target y: class() }",
          "1:21: class wants one number: how many classes there are");
    fails("model m { input x: 3 }", "1:20: only `class(…)` can stand behind the `:` of an input");
    fails("model m { output y = sum x }", "1:26: expected `[` after `sum`, found `x`");
    fails("model m { param w ~ 0.5 }",
          "1:21: expected an initialiser, as in `~ zeros` or `~ constant(0.5)`");
    fails("model m { optimizer 3 }", "1:21: expected an optimizer, as in `adam(lr: 1e-3)`");
    fails("data d { source \"a.csv\" }",
          "1:17: expected a reader of files, as in `csv(\"file.csv\")`");
    fails("import blocks", "1:8: expected a string after `import`, found `blocks`");
    fails("model m { input größe }", "1:17: `größe` has a character that names cannot have (only "
                                     "ASCII letters, digits, `_`)");
    fails("fn f() = a − b", "1:12: the character `−` is not part of the language");
}

/* Each mistake is told once, and hides no other. */
static void test_recovery(void) {
    fails_times(
        "model m {\n  a = +\n  b = 1\n  c = * 2\n  d = (1 + ) * 2\n}\nfn f() = 1 2\nfn g() = )", 5);
    fails_times("modle m {\n  input x\n  repeat 3 { y = 1 }\n  z = {\n}\n}\nfn f() = 1 +", 2);
    fails_times("model m {\n  repeat x y {\n    a = 1\n    b = 2\n  }\n  c = )\n}", 2);
    fails_times("fn f() = 1 @ 2 $ 3\nfn g() = 1 × 2", 3);
    fails_times(
        "data d {\n  sorce csv(\"a\")\n  split train 80 valid\n}\ntrain m on d { epochs 3\n }", 3);
    fails_times("model { input x; y = ] }\nlayer (x) { y = 1 + }", 4);
    fails_times("model m {\n  y = f(x, g(1, 2)\n  z = h(3\n  output w = 1\n}", 2);
}

static void test_depth(void) {
    enum { N = 400000 };
    char *text = malloc(N + 100);
    static const char *const units[] = {
        "(",    "-",     "[",         "{", "f(", "x[", "not ", "2^", "sum[i] ", "if a then b else ",
        "a + ", "a -> ", "x[i] else "};
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        size_t at = (size_t)sprintf(text, "fn f() = "), n = strlen(units[u]);
        for (size_t i = 0; i < 20000; i++, at += n) memcpy(text + at, units[u], n);
        strcpy(text + at, "x\nfn g() = 1 +");
        Parsed *p = parse(text);
        EXPECT(diag_failed(&p->ctx));
        drop(p);
    }
    memset(text, ')', N);
    drop(parse_n(text, N));
    memset(text, '\n', N);
    drop(parse_n(text, N));
    memset(text, 0, N);
    drop(parse_n(text, N));
    memset(text, '@', N);
    drop(parse_n(text, N));
    free(text);
    Parsed *p = parse_n("fn f() = 1\0 2\nfn g() = 2", 24);
    EXPECT_INT(p->ctx.diags.errors, 1);
    drop(p);
}

static SyntaxState typed(const char *text) {
    Ctx ctx;
    ctx_init(&ctx);
    SyntaxFile file;
    Source *source = source_add(&ctx.sources, "<typed>", text, strlen(text));
    SyntaxState state = syntax_parse_typed(&ctx, source, &file);
    EXPECT((state == SYNTAX_FAILED) == diag_failed(&ctx));
    if (state == SYNTAX_COMPLETE) syntax_verify(&ctx, file.tree);
    ctx_free(&ctx);
    return state;
}

static void test_typed(void) {
    EXPECT_INT(typed("1 + 2"), SYNTAX_COMPLETE);
    EXPECT_INT(typed("1 + 2\nfn f(x) = x\nf(3)\n"), SYNTAX_COMPLETE);
    EXPECT_INT(typed("sum[i < 10] i^2"), SYNTAX_COMPLETE);
    EXPECT_INT(typed(""), SYNTAX_COMPLETE);
    EXPECT_INT(typed("# nothing"), SYNTAX_COMPLETE);
    EXPECT_INT(typed("1 +"), SYNTAX_UNFINISHED);
    EXPECT_INT(typed("model m {\n  input x\n"), SYNTAX_UNFINISHED);
    EXPECT_INT(typed("f(1,"), SYNTAX_UNFINISHED);
    EXPECT_INT(typed("x ->"), SYNTAX_UNFINISHED);
    EXPECT_INT(typed("fn f(x) ="), SYNTAX_UNFINISHED);
    EXPECT_INT(typed("model m {\n  input x\n}"), SYNTAX_COMPLETE);
    EXPECT_INT(typed("1 2"), SYNTAX_FAILED);
    EXPECT_INT(typed("f(1))"), SYNTAX_FAILED);
    EXPECT_INT(typed("a = 3"), SYNTAX_FAILED);
    EXPECT_INT(typed("model m { @"), SYNTAX_FAILED);
}

/* ---- random trees and random damage ------------------------------------------------------------
 */

static uint32_t random_state = 12345;

static uint32_t random_below(uint32_t n) {
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)random_state * n) >> 32);
}

/* A random expression in which every part stands in parentheses. */
static void put_random(Text *out, int depth) {
    static const char *const binary[] = {
        "+", "-", "*", "/", "%", "^", "==", "!=", "<", "<=", ">", ">=", "and", "or", "->"};
    static const char *const leaves[] = {"a", "1", "0.5", "true", "x[i, ..]", "f()", "train"};
    uint32_t kind = depth ? random_below(10) : 0;
    text_put(out, "(");
    switch (kind) {
    case 0: text_put(out, leaves[random_below(7)]); break;
    case 1:
        text_put(out, random_below(3) ? "-" : "not ");
        put_random(out, depth - 1);
        break;
    case 2:
        text_put(out, "if ");
        put_random(out, depth - 1);
        text_put(out, " then ");
        put_random(out, depth - 1);
        text_put(out, " else ");
        put_random(out, depth - 1);
        break;
    case 3:
        text_put(out, random_below(2) ? "sum[i < 3, ..] " : "max[j] ");
        put_random(out, depth - 1);
        break;
    case 4:
        put_random(out, depth - 1);
        text_put(out, "(a, b: ");
        put_random(out, depth - 1);
        text_put(out, ")");
        break;
    case 5:
        put_random(out, depth - 1);
        text_put(out, "[i - ");
        put_random(out, depth - 1);
        text_put(out, random_below(2) ? "]" : "] else 0");
        break;
    default:
        put_random(out, depth - 1);
        text_printf(out, " %s ", binary[random_below(15)]);
        put_random(out, depth - 1);
    }
    text_put(out, ")");
}

static void test_random_trees(void) {
    for (int i = 0; i < 3000 && test_failures < 5; i++) {
        Arena *arena = arena_new();
        Text text = text_new(arena);
        text_put(&text, "fn f() = ");
        put_random(&text, 1 + (int)random_below(5));
        round_trip(text_string(&text));
        arena_free(arena);
    }
}

/* Whatever the text, parsing ends, and what parses can be printed. */
static void survive(const char *text, size_t length) {
    Parsed *p = parse_n(text, length);
    test_checks++;
    dump(p);
    const char *once = print(p);
    if (!diag_failed(&p->ctx)) {
        Parsed *again = parse(once);
        int before = test_failures;
        EXPECT_STR(first_message(again), "");
        EXPECT_STR(dump(again), dump(p));
        EXPECT_STR(print(again), once);
        if (test_failures > before) printf("from:\n%.*s\n", (int)length, text);
        drop(again);
    }
    drop(p);
}

static size_t mutate(char *text, size_t length, size_t room) {
    static const char bits[] = "()[]{}#\"\n;,:=-+>.ax0 ~^";
    size_t at = random_below((uint32_t)length), n = 1 + random_below(8);
    if (at + n > length) n = length - at;
    switch (random_below(5)) {
    case 0: text[at] = bits[random_below(sizeof bits - 1)]; return length;
    case 1: text[at] = (char)random_below(256); return length;
    case 2: memmove(text + at, text + at + n, length - at - n); return length - n;
    case 3: /* a piece once more */
        if (length + n > room) return length;
        memmove(text + at + n, text + at, length - at);
        return length + n;
    default: /* one more character */
        if (length + 1 > room) return length;
        memmove(text + at + 1, text + at, length - at);
        text[at] = bits[random_below(sizeof bits - 1)];
        return length + 1;
    }
}

static void test_mutations(void) {
    enum { ROOM = 4096 };
    char text[ROOM];
    for (int i = 0; i < 3000 && test_failures < 5; i++) {
        const char *from = valid[random_below(sizeof valid / sizeof *valid)];
        size_t length = strlen(from);
        memcpy(text, from, length);
        for (uint32_t k = 1 + random_below(4); k-- && length > 1;)
            length = mutate(text, length, ROOM);
        survive(text, length);
    }
}

int main(void) {
    test_valid();
    test_precedence();
    test_lines();
    test_doc();
    test_messages();
    test_recovery();
    test_depth();
    test_typed();
    test_random_trees();
    test_mutations();
    TEST_END();
}
