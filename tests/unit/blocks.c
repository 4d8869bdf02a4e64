/* tests/unit/blocks.c: data and train blocks as the runtime gets them. */
#include "sema/sema.h"

#include "test.h"

typedef struct Declared {
    Ctx ctx;
    Program *program;
} Declared;

static void declare(Declared *d, const char *path, const char *text) {
    ctx_init(&d->ctx);
    d->program = sema_program(&d->ctx);
    SyntaxFile file = syntax_parse(&d->ctx, source_add(&d->ctx.sources, path, text, strlen(text)));
    sema_declare(&d->ctx, d->program, &file);
    EXPECT(!diag_failed(&d->ctx));
}

static const DlrtDataSpec *data(Declared *d, const char *name) {
    const DlrtDataSpec *spec = sema_data(&d->ctx, d->program, name);
    EXPECT(spec != NULL);
    EXPECT(!diag_failed(&d->ctx));
    return spec;
}

static const char *const everything =
    "model m { input x[4], z; target y: class(2); output p = x }\n"
    "# Flowers,\n"
    "# from a garden.\n"
    "data d {\n"
    "    source csv(\"a.csv\", header: true, separator: \";\")\n"
    "    test   idx(\"i.gz\", y: \"l.gz\")\n"
    "    x from 1..2, \"age\", \"a\"..\"c\", onehot(\"place\"), onehot(7)\n"
    "    scale (x - 127.5) / 127.5\n"
    "    scale 1 - 2 * z / 4\n"
    "    standardize z\n"
    "    split train 80.5, valid 19.5, in_order\n"
    "    missing -1\n"
    "}\n"
    "train m on d { epochs: 3, batch: 2^5, seed: 7 }\n";

static void test_sources(void) {
    Declared d;
    declare(&d, "models/here/m.dl", everything);
    const DlrtDataSpec *s = data(&d, "d");
    EXPECT_STR(s->name, "d");
    EXPECT_STR(s->folder, "models/here");
    EXPECT_STR(s->about, "Flowers,\nfrom a garden.");
    EXPECT_INT(s->nsources, 2);
    EXPECT(s->sources[0].is_split);
    EXPECT_STR(s->sources[0].reader, "csv");
    EXPECT_INT(s->sources[0].nargs, 3);
    EXPECT(s->sources[0].args[0].name == NULL);
    EXPECT_STR(s->sources[0].args[0].string, "a.csv");
    EXPECT_INT(s->sources[0].args[1].kind, DLRT_BOOL);
    EXPECT(s->sources[0].args[1].boolean);
    EXPECT_STR(s->sources[0].args[2].name, "separator");
    EXPECT_STR(s->sources[0].args[2].string, ";");
    EXPECT(!s->sources[1].is_split);
    EXPECT_INT(s->sources[1].part, DLRT_TEST);
    EXPECT_STR(s->sources[1].reader, "idx");
    EXPECT_STR(s->sources[1].args[1].name, "y");
    ctx_free(&d.ctx);
}

static void test_columns(void) {
    Declared d;
    declare(&d, "m.dl", everything);
    const DlrtDataSpec *s = data(&d, NULL);
    EXPECT_STR(s->folder, "");
    EXPECT_INT(s->ncolumns, 1);
    const DlrtColumns *x = s->columns;
    EXPECT_STR(x->port, "x");
    EXPECT_INT(x->ncolumns, 5);
    EXPECT_INT(x->columns[0].first, 1);
    EXPECT_INT(x->columns[0].last, 2);
    EXPECT(x->columns[0].name == NULL);
    EXPECT_STR(x->columns[1].name, "age");
    EXPECT(x->columns[1].last_name == NULL);
    EXPECT_STR(x->columns[2].name, "a");
    EXPECT_STR(x->columns[2].last_name, "c");
    EXPECT(x->columns[3].onehot);
    EXPECT_STR(x->columns[3].name, "place");
    EXPECT(x->columns[4].onehot);
    EXPECT_INT(x->columns[4].first, 7);
    EXPECT_INT(x->columns[4].last, 7);
    ctx_free(&d.ctx);
}

static void test_numbers(void) {
    Declared d;
    declare(&d, "m.dl", everything);
    const DlrtDataSpec *s = data(&d, "d");
    EXPECT_INT(s->nscales, 3);
    EXPECT_STR(s->scales[0].port, "x");
    EXPECT_NEAR(s->scales[0].factor, 1 / 127.5, 1e-15);
    EXPECT_NEAR(s->scales[0].offset, -1, 1e-15);
    EXPECT_STR(s->scales[1].port, "z");
    EXPECT_NEAR(s->scales[1].factor, -0.5, 0);
    EXPECT_NEAR(s->scales[1].offset, 1, 0);
    EXPECT(s->scales[2].standardize);
    EXPECT_NEAR(s->percent[DLRT_TRAIN], 80.5, 0);
    EXPECT_NEAR(s->percent[DLRT_VALID], 19.5, 0);
    EXPECT_NEAR(s->percent[DLRT_TEST], 0, 0);
    EXPECT(s->in_order);
    EXPECT_INT(s->missing, DLRT_MISSING_NUMBER);
    EXPECT_NEAR(s->missing_number, -1, 0);
    ctx_free(&d.ctx);
}

static void test_train(void) {
    Declared d;
    declare(&d, "m.dl", everything);
    const DlrtTrainSpec *t = sema_train(&d.ctx, d.program, NULL);
    EXPECT(t != NULL);
    EXPECT_STR(t->model, "m");
    EXPECT_STR(t->data, "d");
    EXPECT_INT(t->epochs, 3);
    EXPECT_INT(t->batch, 32);
    EXPECT_INT(t->seed, 7);
    EXPECT(sema_train(&d.ctx, d.program, "other") == NULL);
    EXPECT(sema_data(&d.ctx, d.program, "other") == NULL);
    EXPECT(!diag_failed(&d.ctx)); /* what is not there is no error here */
    ctx_free(&d.ctx);
}

static void test_defaults(void) {
    Declared d;
    declare(&d, "/m.dl",
            "model m { input x; output p = x }\n"
            "data d { source csv(\"a\"); source csv(\"b\") }\n"
            "data e { valid csv(\"a\"); missing median }\n"
            "train m on e {}\n");
    EXPECT_STR(data(&d, "d")->folder, "/");
    EXPECT(data(&d, "d")->about == NULL);
    EXPECT_INT(data(&d, "d")->nsources, 2);
    EXPECT_INT(data(&d, "d")->missing, DLRT_MISSING_ERROR);
    EXPECT_INT(data(&d, "e")->missing, DLRT_MISSING_MEDIAN);
    EXPECT(sema_data(&d.ctx, d.program, NULL) == NULL); /* there are two */
    const DlrtTrainSpec *t = sema_train(&d.ctx, d.program, "m");
    EXPECT_INT(t->epochs, 10);
    EXPECT_INT(t->batch, 64);
    EXPECT_INT(t->seed, 0);
    ctx_free(&d.ctx);
}

int main(void) {
    test_sources();
    test_columns();
    test_numbers();
    test_train();
    test_defaults();
    TEST_END();
}
