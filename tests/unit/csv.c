/* tests/unit/csv.c: tables of text: their form, columns, classes, missing values, splits, scaling.
 */
#include "data.h"

#include "runtime/private.h"

#include <locale.h>

/* x[n] and y: class(k), or y real when k is 0. */
typedef struct Case {
    int64_t n, k;
    DlrtArgument arguments[3];
    uint32_t narguments;
    DlrtColumns columns[2];
    uint32_t ncolumns;
    DlrtScale scales[3];
    uint32_t nscales;
    DlrtDataSpec spec; /* further fields */
    uint32_t real_bytes;
    DlrtError error;
} Case;

static DlrtData *open_case(Case *c, const char *text, size_t size) {
    int64_t dims[] = {c->n, 0};
    DlrtPort inputs[] = {test_port("x", dims, 0)}, targets[] = {test_port("y", SCALAR, c->k)};
    DlrtModel model = {.name = "m",
                       .real_bytes = c->real_bytes ? c->real_bytes : 4,
                       .max_batch = 4,
                       .ninputs = 1,
                       .ntargets = 1,
                       .inputs = inputs,
                       .targets = targets};
    DlrtArgument arguments[4] = {{.kind = DLRT_STRING, .string = "a.csv"}};
    memcpy(arguments + 1, c->arguments, sizeof c->arguments);
    DlrtSource source = {
        .is_split = true, .reader = "csv", .nargs = c->narguments + 1, .args = arguments};
    DlrtDataSpec spec = c->spec;
    spec.name = "d";
    spec.folder = test_folder;
    spec.nsources = 1;
    spec.sources = &source;
    spec.columns = c->columns;
    spec.ncolumns = c->ncolumns;
    spec.scales = c->scales;
    spec.nscales = c->nscales;
    test_write("a.csv", text, size);
    return dlrt_data_open(&spec, &model, NULL, 1, &c->error);
}

static DlrtData *open_text(Case *c, const char *text) {
    return open_case(c, text, strlen(text));
}

static float x_at(const DlrtData *data, DlrtPart part, int64_t example, int64_t element) {
    return ((const float *)dlrt_data_example(data, part, 0, example))[element];
}

static int class_at(const DlrtData *data, int64_t example) {
    return *(const int32_t *)dlrt_data_example(data, DLRT_TRAIN, 1, example);
}

/* Fails with this message at this line and column. */
#define EXPECT_BAD(c, text, part, l, col)                                                          \
    do {                                                                                           \
        DlrtData *bad_ = open_text(c, text);                                                       \
        EXPECT(!bad_);                                                                             \
        EXPECT_ERROR((c)->error, part);                                                            \
        EXPECT_INT((c)->error.line, l);                                                            \
        EXPECT_INT((c)->error.column, col);                                                        \
        dlrt_data_close(bad_);                                                                     \
    } while (0)

static void test_forms(void) {
    static const char *const texts[] = {
        "1,2,a\n3,4,b\n",
        "1,2,a\r\n3,4,b\r\n",
        "1,2,a\r3,4,b",
        "\357\273\2771,2,a\n3,4,b",
        "\n1,2,a\n\n  \n3,4,b\n\n",
        "\"1\",\"2\",\"a\"\n\"3\",\"4\",\"b\"",
        " 1 , 2 , a \n 3,4, \"b\" \n",
        "p,q,r\n1,2,a\n3,4,b\n",
        "\"p\",\"q\",\"r\"\r\n1.0,2e0,a\r\n+3,.4e1,b",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        Case c = {.n = 2, .k = 2};
        DlrtData *data = open_text(&c, texts[i]);
        EXPECT_STR(c.error.message, "");
        if (!data) continue;
        EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 2);
        for (int e = 0; e < 4; e++) EXPECT_NEAR(x_at(data, DLRT_TRAIN, e / 2, e % 2), e + 1, 0);
        EXPECT_INT(class_at(data, 0), 0);
        EXPECT_INT(class_at(data, 1), 1);
        EXPECT_STR(dlrt_data_class(data, 1, 1), "b");
        EXPECT(!dlrt_data_class(data, 1, 2));
        dlrt_data_close(data);
    }
}

static void test_quotes(void) {
    Case c = {.n = 1, .k = 3};
    DlrtData *data = open_text(&c, "1,\"a,\"\"b\"\"\r\nc\"\n2,\"\"\"\"\n3,d\"e\n");
    EXPECT_STR(c.error.message, "");
    if (!data) return;
    EXPECT_STR(dlrt_data_class(data, 1, 0), "\"");
    EXPECT_STR(dlrt_data_class(data, 1, 1), "a,\"b\"\r\nc");
    EXPECT_STR(dlrt_data_class(data, 1, 2), "d\"e");
    dlrt_data_close(data);
    EXPECT_BAD(&c, "1,a\n2,\"b\n3,c\n", "never closed", 2, 2);
    EXPECT_BAD(&c, "1,a\n2,\"b\"c\n", "written twice", 2, 2);
    /* Line breaks within quotes count. */
    EXPECT_BAD(&c, "1,a\n\"2\n\",b\nz,\"c\nd\"\n", "`2 ` in column 1", 2, 1);
    c.n = 2;
    EXPECT_BAD(&c, "\"\n\n1\",x,a\n", "is not a number", 1, 1);
    EXPECT_BAD(&c, "1,2,a\n3,\"\n\",b\n", "` ` in column 2", 2, 2);
}

static void test_damage(void) {
    Case c = {.n = 1, .k = 2};
    EXPECT_BAD(&c, "", "empty", 0, 0);
    EXPECT_BAD(&c, "\n\n \n", "no rows", 0, 0);
    EXPECT_BAD(&c, "1,a\n2,b,3\n", "this row has 3 fields, the first row has 2", 2, 3);
    EXPECT_BAD(&c, "1,a\n2\n", "this row has 1 field, the first row has 2", 2, 1);
    EXPECT_BAD(&c, "x,a\ny,b\n", "`x` in column 1 is not a number", 1, 1);
    EXPECT_BAD(&c, "1,a\nx,b\n", "`x` in column 1 is not a number", 2, 1);
    EXPECT_BAD(&c, "1,a\n\ninf,b\n", "not a finite number", 3, 1);
    EXPECT_BAD(&c, "1,a\n-Infinity,b\n", "not a finite number", 2, 1);
    EXPECT_BAD(&c, "1,a\n1e999,b\n", "too large", 2, 1);
    EXPECT_BAD(&c, "1,a\n1e39,b\n", "too large for the model's 32-bit numbers", 2, 0);
    EXPECT_BAD(&c, "1,a\n0x10,b\n", "`0x10` in column 1 is not a number", 2, 1);
    EXPECT_BAD(&c, "1,a\n\"2,5\",b\n", "decimals are written with a point", 2, 1);
    EXPECT_BAD(&c, "num,cat\n1,a\n,b\n", "column 1 (`num`) has no value here (it is empty)", 3, 1);
    EXPECT_BAD(&c, "num,cat\n1,a\n?,b\n", "has no value here (`?`)", 3, 1);
    EXPECT_BAD(&c, "1,a,b\n", "the data has 3 columns; input x takes 1 and target y takes 1", 0, 0);
    EXPECT_BAD(&c, "1;a\n2;b\n", "is the separator `;`?", 0, 0);
    DlrtData *bad = open_case(&c, "1,a\n2,\0b\n", 10);
    EXPECT(!bad);
    EXPECT_ERROR(c.error, "zero byte");
    EXPECT_INT(c.error.line, 2);
}

static void test_arguments(void) {
    Case c = {.n = 2, .k = 0, .narguments = 1};
    c.arguments[0] = (DlrtArgument){.name = "separator", .kind = DLRT_STRING, .string = ";"};
    DlrtData *data = open_text(&c, "1;2;3,5\n");
    EXPECT(!data);
    data = open_text(&c, "1;2;3.5\n");
    EXPECT(data);
    if (data) EXPECT_NEAR(*(const float *)dlrt_data_example(data, DLRT_TRAIN, 1, 0), 3.5, 0);
    dlrt_data_close(data);
    c.arguments[0].string = "\t";
    data = open_text(&c, "1\t2\t3\n");
    EXPECT(data);
    dlrt_data_close(data);
    EXPECT_BAD(&c, "1\t\t3\n", "no value", 1, 2);
    c.arguments[0].string = ";;";
    EXPECT_BAD(&c, "1;2;3\n", "one character", 0, 0);
    c.arguments[0] = (DlrtArgument){.name = "header", .kind = DLRT_BOOL, .boolean = true};
    EXPECT_BAD(&c, "1,2,3\n", "a header but no rows", 0, 0);
    c.arguments[0].boolean = false;
    EXPECT_BAD(&c, "a,b,c\n1,2,3\n", "header: true", 1, 1);
    c.arguments[0] = (DlrtArgument){.name = "head", .kind = DLRT_BOOL};
    EXPECT_BAD(&c, "1,2,3\n", "csv has no argument `head`", 0, 0);
    c.arguments[0] = (DlrtArgument){.kind = DLRT_STRING, .string = "b.csv"};
    EXPECT_BAD(&c, "1,2,3\n", "one file", 0, 0);
}

static void test_columns(void) {
    static const char *const text =
        "id,age,sex,place,size\n7,30,m,south,1\n8,40,f,north,2\n9,50,f,east,1\n";
    DlrtColumn x[] = {{.name = "age"}, {.name = "place", .onehot = true}},
               y[] = {{.first = 5, .last = 5}};
    Case c = {.n = 4, .k = 3, .columns = {{"x", 2, x}, {"y", 1, y}}, .ncolumns = 2};
    static const float expected[3][4] = {{30, 0, 0, 1}, {40, 0, 1, 0}, {50, 1, 0, 0}};
    DlrtData *data = open_text(&c, text);
    EXPECT_STR(c.error.message, "");
    for (int i = 0; data && i < 12; i++)
        EXPECT_NEAR(x_at(data, DLRT_TRAIN, i / 4, i % 4), expected[i / 4][i % 4], 0);
    if (data) EXPECT_INT(class_at(data, 1), 2); /* 1 and 2 are within 0..2 */
    if (data) EXPECT(!dlrt_data_class(data, 1, 0));
    dlrt_data_close(data);
    c.n = 5;
    EXPECT_BAD(
        &c, text,
        "the columns of `x` give 4 numbers (column 4 (`place`) as one of 3 texts), but it takes 5",
        0, 0);
    x[0] = (DlrtColumn){.name = "aeg"};
    EXPECT_BAD(&c, text,
               "no column `aeg` (did you mean `age`?); the columns are id, age, sex, place, size",
               0, 0);
    x[0] = (DlrtColumn){.first = 4, .last = 6};
    EXPECT_BAD(&c, text, "there are no columns 4..6: the file has columns 1..5", 0, 0);
    x[0] = (DlrtColumn){.name = "sex", .last_name = "id"};
    EXPECT_BAD(&c, text, "column `sex` does not come before `id`", 0, 0);
    x[0] = (DlrtColumn){.name = "age", .last_name = "sex"};
    EXPECT_BAD(&c, text,
               "`m` in column 3 (`sex`) is not a number; a text column goes in with onehot", 2, 3);
    c.columns[0].port = "z";
    EXPECT_BAD(&c, text, "no input or target of that name", 0, 0);
    /* x gets what y leaves. */
    Case rest = {.n = 2, .k = 2, .columns = {{"y", 1, y}}, .ncolumns = 1};
    y[0] = (DlrtColumn){.first = 2, .last = 2};
    data = open_text(&rest, "1,a,2\n3,b,4\n");
    EXPECT(data);
    if (data) EXPECT_NEAR(x_at(data, DLRT_TRAIN, 0, 1), 2, 0);
    dlrt_data_close(data);
    EXPECT_BAD(&rest, "1,a\n3,b\n", "the data has 1 column that no `from` takes; input x takes 2",
               0, 0);
}

static void test_classes(void) {
    Case c = {.n = 1, .k = 3};
    DlrtData *data = open_text(&c, "0,3\n0,1\n0,2.0\n");
    EXPECT_STR(c.error.message, "");
    if (data) EXPECT_INT(class_at(data, 0), 2);
    if (data) EXPECT_STR(dlrt_data_class(data, 1, 2), "3");
    dlrt_data_close(data);
    data = open_text(&c, "0,-10\n0,9\n0,-2\n");
    if (data) EXPECT_INT(class_at(data, 0), 0);
    if (data) EXPECT_INT(class_at(data, 1), 2);
    EXPECT(data);
    dlrt_data_close(data);
    EXPECT_BAD(&c, "0,1\n0,2\n0,3\n0,2\n0,4\n",
               "`4` in column 2 is one more class than `y: class(3)` has", 5, 2);
    EXPECT_BAD(&c, "0,a\n0,b\n0,c\n0,d\n", "`d` in column 2 is one more class", 4, 2);
    EXPECT_BAD(&c, "0,1\n0,1.5\n", "`1.5` in column 2 is not a class", 2, 2);
    EXPECT_BAD(&c, "0,?\n0,\n", "every value of `y` is missing", 0, 0);
}

static void test_missing(void) {
    static const char *const text = "1,a\nNA,b\n5,a\nnan,a\n9,b\n,b\n100,a\n";
    Case c = {.n = 1, .k = 2, .spec = {.missing = DLRT_MISSING_SKIP}};
    DlrtData *data = open_text(&c, text);
    if (data) EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 4);
    if (data) EXPECT_NEAR(x_at(data, DLRT_TRAIN, 1, 0), 5, 0);
    dlrt_data_close(data);
    c.spec = (DlrtDataSpec){.missing = DLRT_MISSING_NUMBER, .missing_number = -1};
    data = open_text(&c, text);
    if (data) EXPECT_NEAR(x_at(data, DLRT_TRAIN, 1, 0), -1, 0);
    dlrt_data_close(data);
    c.spec = (DlrtDataSpec){.missing = DLRT_MISSING_MEDIAN};
    data = open_text(&c, text);
    if (data) EXPECT_NEAR(x_at(data, DLRT_TRAIN, 5, 0), 7, 0);
    dlrt_data_close(data);
    /* From the training part only: 1, 5, 9. */
    c.spec = (DlrtDataSpec){.missing = DLRT_MISSING_MEAN, .percent = {85, 0, 15}, .in_order = true};
    data = open_text(&c, text);
    if (data) EXPECT_NEAR(x_at(data, DLRT_TRAIN, 5, 0), 5, 1e-6);
    if (data) EXPECT_INT(dlrt_data_count(data, DLRT_TEST), 1);
    dlrt_data_close(data);
    EXPECT_BAD(&c, "1,a\n2,?\n", "a class cannot be made up: say `missing skip`", 2, 2);
    EXPECT_BAD(&c, "?,a\n,a\n,a\n,a\n2,b\n", "no value in the training part", 0, 0);
    c.spec.missing = DLRT_MISSING_SKIP;
    EXPECT_BAD(&c, "?,a\n2,?\n", "every row misses a value", 0, 0);
}

/* n rows whose x is their number. */
static char *numbered(int64_t n) {
    char *text = malloc((size_t)n * 24 + 1), *to = text;
    for (int64_t i = 0; i < n; i++) to += sprintf(to, "%lld,0\n", (long long)i);
    return text;
}

static void test_splits(void) {
    Case c = {.n = 1, .k = 1, .spec = {.percent = {80, 10, 10}}};
    char *text = numbered(97);
    DlrtData *data = open_text(&c, text), *again = open_text(&c, text);
    int seen[97] = {0}, same = 0, sorted = 0;
    EXPECT(data && again);
    if (data && again) {
        EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 77);
        EXPECT_INT(dlrt_data_count(data, DLRT_VALID), 10);
        EXPECT_INT(dlrt_data_count(data, DLRT_TEST), 10);
        for (int p = 0; p < DLRT_PARTS; p++)
            for (int64_t i = 0; i < dlrt_data_count(data, (DlrtPart)p); i++) {
                seen[(int)x_at(data, (DlrtPart)p, i, 0)]++;
                same += x_at(data, (DlrtPart)p, i, 0) == x_at(again, (DlrtPart)p, i, 0);
            }
        for (int i = 0; i < 97; i++) sorted += seen[i] == 1;
        EXPECT_INT(sorted, 97);
        EXPECT_INT(same, 97);
        EXPECT(x_at(data, DLRT_TEST, 0, 0) < 87); /* not simply the last ones */
    }
    dlrt_data_close(data);
    dlrt_data_close(again);
    c.spec.in_order = true;
    data = open_text(&c, text);
    if (data) EXPECT_NEAR(x_at(data, DLRT_VALID, 0, 0), 77, 0);
    if (data) EXPECT_NEAR(x_at(data, DLRT_TEST, 9, 0), 96, 0);
    dlrt_data_close(data);
    c.spec.percent[DLRT_TEST] = 0.1; /* a row at least */
    data = open_text(&c, text);
    if (data) EXPECT_INT(dlrt_data_count(data, DLRT_TEST), 1);
    dlrt_data_close(data);
    EXPECT_BAD(&c, "1,0\n2,0\n", "2 examples cannot be split into 3 parts", 0, 0);
    data = open_text(&c, "1,0\n2,0\n3,0\n");
    for (int p = 0; data && p < DLRT_PARTS; p++) EXPECT_INT(dlrt_data_count(data, (DlrtPart)p), 1);
    dlrt_data_close(data);
    free(text);
}

static void test_scaling(void) {
    Case c = {
        .n = 2,
        .k = 0,
        .scales = {{.port = "x", .standardize = true}, {.port = "y", .factor = 2, .offset = -1}},
        .nscales = 2};
    DlrtData *data = open_text(&c, "1,7,3\n3,7,4\n");
    EXPECT_STR(c.error.message, "");
    if (data) {
        EXPECT_NEAR(x_at(data, DLRT_TRAIN, 0, 0), -1, 1e-6);
        EXPECT_NEAR(x_at(data, DLRT_TRAIN, 1, 0), 1, 1e-6);
        EXPECT_NEAR(x_at(data, DLRT_TRAIN, 1, 1), 0, 0); /* constant: deviation 1 */
        EXPECT_NEAR(*(const float *)dlrt_data_example(data, DLRT_TRAIN, 1, 1), 7, 0);
        EXPECT_NEAR(dlrt_data_unscale(data, 0, 0, 0.5), 2.5, 1e-9);
        EXPECT_NEAR(dlrt_data_unscale(data, 0, 1, 0.5), 7.5, 1e-9);
        EXPECT_NEAR(dlrt_data_unscale(data, 1, 0, 7), 4, 1e-9);
    }
    dlrt_data_close(data);
    /* Statistics of the training part alone, applied to the others; large offsets lose nothing. */
    c.spec = (DlrtDataSpec){.percent = {50, 0, 50}, .in_order = true};
    data = open_text(&c, "1600000001,1,0\n1600000003,1,0\n1600000005,2,0\n1600000007,3,0\n");
    if (data) EXPECT_NEAR(x_at(data, DLRT_TEST, 0, 0), 3, 1e-6);
    if (data) EXPECT_NEAR(x_at(data, DLRT_TEST, 1, 1), 2, 0);
    dlrt_data_close(data);
    c.scales[1].port = "q";
    EXPECT_BAD(&c, "1,2,3\n4,5,6\n", "`scale q`: the model has no such input or target", 0, 0);
    c.scales[1] = (DlrtScale){.port = "y"};
    EXPECT_BAD(&c, "1,2,3\n4,5,6\n", "cannot be multiplied by 0", 0, 0);
    Case classes = {.n = 1, .k = 2, .scales = {{.port = "y", .standardize = true}}, .nscales = 1};
    EXPECT_BAD(&classes, "1,0\n", "classes cannot be scaled", 0, 0);
    /* f64 */
    Case wide = {.n = 1, .k = 0, .real_bytes = 8};
    data = open_text(&wide, "1e300,0.1\n");
    if (data) EXPECT_NEAR(*(const double *)dlrt_data_example(data, DLRT_TRAIN, 1, 0), 0.1, 0);
    EXPECT(data);
    dlrt_data_close(data);
}

/* Two files: classes and one-hot texts are numbered over both; the test file goes whole to test. */
static void test_two_files(void) {
    DlrtPort inputs[] = {test_port("x", DIMS(3), 0)}, targets[] = {test_port("y", SCALAR, 3)};
    DlrtModel model = {.name = "m",
                       .real_bytes = 4,
                       .max_batch = 4,
                       .ninputs = 1,
                       .ntargets = 1,
                       .inputs = inputs,
                       .targets = targets};
    DlrtArgument a = {.kind = DLRT_STRING, .string = "a.csv"},
                 b = {.kind = DLRT_STRING, .string = "b.csv"};
    DlrtSource sources[] = {{.is_split = true, .reader = "csv", .nargs = 1, .args = &a},
                            {.part = DLRT_TEST, .reader = "csv", .nargs = 1, .args = &b}};
    DlrtColumn x = {.first = 1, .last = 1, .onehot = true}, y = {.name = "kind"};
    DlrtColumns columns[] = {{"x", 1, &x}, {"y", 1, &y}};
    DlrtDataSpec spec = {.name = "d",
                         .folder = test_folder,
                         .nsources = 2,
                         .ncolumns = 2,
                         .sources = sources,
                         .columns = columns,
                         .about = "Two small files."};
    DlrtError error;
    test_write_text("a.csv", "place,kind\nn,q\ns,r\n");
    test_write_text("b.csv", "place,note,kind\ne,,p\nn,,q\ns,,r\n");
    DlrtData *data = dlrt_data_open(&spec, &model, NULL, 0, &error);
    EXPECT_STR(error.message, "");
    if (data) {
        EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 2);
        EXPECT_INT(dlrt_data_count(data, DLRT_TEST), 3);
        EXPECT_INT(class_at(data, 0), 1);
        EXPECT_NEAR(x_at(data, DLRT_TRAIN, 0, 1), 1, 0);
        EXPECT_NEAR(x_at(data, DLRT_TEST, 0, 0), 1, 0);
    }
    dlrt_data_close(data);
    EXPECT(!dlrt_data_open(&spec, &model, test_path("a.csv"), 0, &error));
    EXPECT_ERROR(error, "read from 2 files: give the folder");
    b.string = "c.csv";
    EXPECT(!dlrt_data_open(&spec, &model, NULL, 0, &error));
    EXPECT_ERROR(error, "Two small files.");
    EXPECT(error.missing_file);
    EXPECT_STR(error.path, test_path("c.csv"));
    sources[1].reader = "cvs";
    EXPECT(!dlrt_data_open(&spec, &model, NULL, 0, &error));
    EXPECT_ERROR(error, "no reader is called `cvs`: there are csv, idx");
    /* One file can be named itself; a folder need not have the sub-folder. */
    spec.nsources = 1;
    a.string = "sub/d.csv";
    inputs[0] = test_port("x", DIMS(2), 0);
    data = dlrt_data_open(&spec, &model, test_path("a.csv"), 0, &error);
    EXPECT(data);
    dlrt_data_close(data);
    a.string = "sub/a.csv";
    data = dlrt_data_open(&spec, &model, test_folder, 0, &error);
    EXPECT(data);
    dlrt_data_close(data);
    EXPECT(!dlrt_data_open(&spec, &model, test_path("nowhere"), 0, &error));
    EXPECT(error.missing_file);
}

static void test_numbers(void) {
    static const char *const texts[] = {"0",
                                        "-0.0",
                                        "1",
                                        "3.14159",
                                        "1e22",
                                        "1e23",
                                        "1e-5",
                                        "123456789012345678",
                                        "2.2250738585072011e-308",
                                        "4.9e-324",
                                        "1.7976931348623157e308",
                                        ".5",
                                        "5.",
                                        "9007199254740993",
                                        "0.1e-6",
                                        "00012.500",
                                        "1e-400",
                                        "8.5e+2",
                                        "0.000000000000000000000000000000000000001e40"};
    double value;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        EXPECT_INT(number_parse(texts[i], &value), NUMBER_FINITE);
        EXPECT(value == strtod(texts[i], NULL) ? true : (printf("%s\n", texts[i]), false));
    }
    static const char *const not[] = {"",      "-",   ".",   "e5",  "1e",  "1e+", "0x1p3",
                                      "1.2.3", "--1", "1 2", "inf", "nan", "1_0", "1,5"};
    for (size_t i = 0; i < sizeof not / sizeof not[0]; i++)
        EXPECT_INT(number_parse(not[i], &value), NUMBER_NOT);
    EXPECT_INT(number_parse("1e309", &value), NUMBER_TOO_LARGE);
    EXPECT_INT(number_parse("1e99999999999999999999", &value), NUMBER_TOO_LARGE);
    /* A halfway case that only its 800th digit decides. */
    char text[900] = "9007199254740993.";
    memset(text + 17, '0', 800);
    strcpy(text + 817, "1");
    EXPECT_INT(number_parse(text, &value), NUMBER_FINITE);
    EXPECT_NEAR(value, 9007199254740994.0, 0);
    /* Random ones against the library. */
    for (uint64_t i = 0; i < 20000; i++) {
        int digits = 1 + (int)(shuffle_draw(1, 0, i) % 20),
            exponent = (int)(shuffle_draw(2, 0, i) % 60) - 30;
        char random[64];
        snprintf(random, sizeof random, "%.*e", digits, (double)shuffle_draw(3, 0, i) * 0x1p-64);
        snprintf(strchr(random, 'e'), 8, "e%d", exponent);
        number_parse(random, &value);
        if (value != strtod(random, NULL)) printf("%s\n", random), test_failures++;
    }
}

static void test_locale(void) {
    double value = 0;
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8")) return;
    number_parse("123456789.123456789123", &value);
    EXPECT_NEAR(value, 123456789.123456789123, 0);
    setlocale(LC_NUMERIC, "C");
}

static void test_huge_field(void) {
    size_t size = 3 << 20;
    char *text = malloc(size + 64);
    strcpy(text, "1,\"");
    memset(text + 3, 'a', size);
    strcpy(text + 3 + size, "\"\n2,b\n");
    Case c = {.n = 1, .k = 2};
    DlrtData *data = open_text(&c, text);
    EXPECT(data && strlen(dlrt_data_class(data, 1, 0)) == size);
    dlrt_data_close(data);
    text[size + 5] = 'z'; /* the row behind it */
    EXPECT_BAD(&c, text, "not a number", 2, 1);
    free(text);
}

static DlrtData *open_real(const char *folder, const char *file, Case *c) {
    char path[512];
    int64_t dims[] = {c->n, 0};
    DlrtPort inputs[] = {test_port("x", dims, 0)}, targets[] = {test_port("y", SCALAR, c->k)};
    DlrtModel model = {.name = "m",
                       .real_bytes = 4,
                       .max_batch = 4,
                       .ninputs = 1,
                       .ntargets = 1,
                       .inputs = inputs,
                       .targets = targets};
    DlrtArgument argument = {.kind = DLRT_STRING, .string = file};
    DlrtSource source = {.is_split = true, .reader = "csv", .nargs = 1, .args = &argument};
    DlrtDataSpec spec = c->spec;
    spec.nsources = 1;
    spec.sources = &source;
    spec.columns = c->columns;
    spec.ncolumns = c->ncolumns;
    spec.scales = c->scales;
    spec.nscales = c->nscales;
    snprintf(path, sizeof path, "%s/tabular", folder);
    DlrtData *data = dlrt_data_open(&spec, &model, path, 1, &c->error);
    EXPECT_STR(c->error.message, "");
    return data;
}

static void test_real(const char *folder) {
    Case iris = {.n = 4, .k = 3};
    DlrtData *data = open_real(folder, "iris.csv", &iris);
    if (data) EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 150);
    if (data) EXPECT_STR(dlrt_data_class(data, 1, 2), "Iris-virginica");
    dlrt_data_close(data);
    Case wine = {.n = 13, .k = 3};
    data = open_real(folder, "wine.csv", &wine);
    if (data) EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 178);
    if (data) EXPECT_STR(dlrt_data_class(data, 1, 0), "1");
    dlrt_data_close(data);
    Case quality = {.n = 11, .k = 6};
    data = open_real(folder, "winequality-red.csv", &quality);
    if (data) EXPECT_STR(dlrt_data_class(data, 1, 5), "8");
    dlrt_data_close(data);
    DlrtColumn x[] = {{.name = "longitude", .last_name = "median_income"},
                      {.name = "ocean_proximity", .onehot = true}};
    DlrtColumn y[] = {{.name = "median_house_value"}};
    Case housing = {.n = 13,
                    .columns = {{"x", 2, x}, {"y", 1, y}},
                    .ncolumns = 2,
                    .spec = {.missing = DLRT_MISSING_MEDIAN, .percent = {80, 0, 20}},
                    .scales = {{.port = "x", .standardize = true}, {.port = "y", .factor = 1e-5}},
                    .nscales = 2};
    data = open_real(folder, "california-housing.csv", &housing);
    if (data) {
        EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 16512);
        EXPECT_INT(dlrt_data_count(data, DLRT_TEST), 4128);
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < 16512; i++) {
            double value = x_at(data, DLRT_TRAIN, i, 4);
            sum += value;
            squares += value * value;
        }
        EXPECT_NEAR(sum / 16512, 0, 1e-5);
        EXPECT_NEAR(squares / 16512, 1, 1e-5);
    }
    dlrt_data_close(data);
    DlrtColumn px[] = {{.first = 2, .last = 2, .onehot = true},
                       {.first = 3, .last = 6},
                       {.name = "sex", .onehot = true}},
               py[] = {{.name = "species"}};
    Case penguins = {.n = 9,
                     .k = 3,
                     .columns = {{"x", 3, px}, {"y", 1, py}},
                     .ncolumns = 2,
                     .spec = {.missing = DLRT_MISSING_SKIP}};
    data = open_real(folder, "penguins.csv", &penguins);
    if (data) EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 333);
    if (data) EXPECT_STR(dlrt_data_class(data, 1, 1), "Chinstrap");
    dlrt_data_close(data);
}

int main(void) {
    test_folder_begin();
    test_forms();
    test_quotes();
    test_damage();
    test_arguments();
    test_columns();
    test_classes();
    test_missing();
    test_splits();
    test_scaling();
    test_two_files();
    test_numbers();
    test_locale();
    test_huge_field();
    const char *folder = test_data();
    if (folder) test_real(folder);
    test_folder_end();
    TEST_END();
}
