/* tests/unit/notes.c: what weights know of the data that they were trained on, and data read for
 * them.
 */
#include "data.h"

#include "runtime/private.h"

#include <sys/stat.h>

/* x[2] and y, a class or a number, from a.csv; `known` are the notes of the weights. */
typedef struct Case {
    int64_t classes;
    DlrtColumns columns[2];
    uint32_t ncolumns, nscales;
    DlrtScale scales[2];
    DlrtMissing missing;
    bool whole, unlabelled;
    Notes known;
    Pool pool;
    DlrtError error;
} Case;

static DlrtData *open_text(Case *c, const char *text) {
    DlrtPort inputs[] = {test_port("x", DIMS(2), 0)};
    DlrtPort targets[] = {test_port("y", SCALAR, c->classes)};
    DlrtModel model = {.name = "m",
                       .real_bytes = 8,
                       .max_batch = 4,
                       .ninputs = 1,
                       .ntargets = 1,
                       .inputs = inputs,
                       .targets = targets};
    DlrtArgument file = {.kind = DLRT_STRING, .string = "a.csv"};
    DlrtSource source = {.is_split = true, .reader = "csv", .nargs = 1, .args = &file};
    DlrtDataSpec spec = {.name = "d",
                         .folder = test_folder,
                         .nsources = 1,
                         .sources = &source,
                         .columns = c->columns,
                         .ncolumns = c->ncolumns,
                         .scales = c->scales,
                         .nscales = c->nscales,
                         .missing = c->missing,
                         .whole = c->whole,
                         .unlabelled = c->unlabelled};
    DlrtSession weights = {.model = &model, .notes = c->known};
    test_write_text("a.csv", text);
    c->error = (DlrtError){0};
    return dlrt_data_open_for(&weights, &spec, NULL, 1, &c->error);
}

/* Reads training data; the weights know it from then on. */
static void learn(Case *c, const char *text) {
    c->known = (Notes){0};
    DlrtData *data = open_text(c, text);
    EXPECT_STR(c->error.message, "");
    EXPECT(data && notes_copy(&c->pool, &c->known, &data->notes));
    dlrt_data_close(data);
}

static void know(Case *c, const char *key, const char *text) {
    c->known = (Notes){0};
    EXPECT(notes_add(&c->pool, &c->known, key, text));
}

static double x_at(const DlrtData *data, int64_t example, int element) {
    DlrtPart part = dlrt_data_count(data, DLRT_TRAIN) ? DLRT_TRAIN : DLRT_TEST;
    return ((const double *)dlrt_data_example(data, part, 0, example))[element];
}

static int class_at(const DlrtData *data, int64_t example) {
    DlrtPart part = dlrt_data_count(data, DLRT_TRAIN) ? DLRT_TRAIN : DLRT_TEST;
    return *(const int32_t *)dlrt_data_example(data, part, 1, example);
}

#define REFUSED(c, text, part)                                                                     \
    do {                                                                                           \
        DlrtData *bad_ = open_text(&(c), (text));                                                  \
        EXPECT(!bad_);                                                                             \
        EXPECT_ERROR((c).error, (part));                                                           \
        dlrt_data_close(bad_);                                                                     \
    } while (0)

/* ---- numbers --------------------------------------------------------------------------------- */

static void test_standardize(void) {
    Case c = {.scales = {{.port = "x", .standardize = true}}, .nscales = 1};
    learn(&c, "1,5,0\n3,5,0\n"); /* means 2 and 5, deviations 1 and none */
    DlrtData *data = open_text(&c, "100,7,0\n100,7,0\n");
    EXPECT_NEAR(x_at(data, 0, 0), 98, 0);
    EXPECT_NEAR(x_at(data, 0, 1), 2, 0);
    /* What is read for weights can be passed on: the same notes. */
    EXPECT_INT(data->notes.count, c.known.count);
    for (int64_t i = 0; i < data->notes.count; i++)
        EXPECT_STR(data->notes.items[i].text, c.known.items[i].text);
    dlrt_data_close(data);
    know(&c, "x.mean", "1");
    REFUSED(c, "1,2,0\n", "the weights' note `data.x.mean` is damaged, or of another model");
    know(&c, "x.mean", "1 2 3");
    REFUSED(c, "1,2,0\n", "`data.x.mean`");
    know(&c, "x.mean", "1 y");
    REFUSED(c, "1,2,0\n", "`data.x.mean`");
    know(&c, "x.mean", "1 2");
    REFUSED(c, "1,2,0\n", "`data.x.deviation`");
    pool_free(&c.pool);
}

/* Also of an element that missed nothing in training. */
static void test_missing(void) {
    Case c = {.missing = DLRT_MISSING_MEAN};
    learn(&c, "1,5,0\n4,6,0\n,7,0\n");
    DlrtData *data = open_text(&c, "100,,0\nnull,200,0\n");
    EXPECT_NEAR(x_at(data, 0, 1), 6, 0);
    EXPECT_NEAR(x_at(data, 1, 0), 2.5, 0);
    dlrt_data_close(data);
    pool_free(&c.pool);
}

/* ---- classes --------------------------------------------------------------------------------- */

static void test_classes(void) {
    Case c = {.classes = 4};
    learn(&c, "1,2,b c\n1,2,\303\274%\n1,2,a\n");
    DlrtData *data = open_text(&c, "1,2,\303\274%\n1,2,b c\n");
    EXPECT_INT(class_at(data, 0), 2);
    EXPECT_INT(class_at(data, 1), 1);
    EXPECT_STR(dlrt_data_class(data, 1, 0), "a");
    dlrt_data_close(data);
    REFUSED(
        c, "1,2,d\n",
        "`d` in column 3 does not occur in the data that the weights were trained on: a, b c, ");
    EXPECT_INT(c.error.line, 1);
    learn(&c, "1,2,7\n1,2,-3\n1,2,20\n"); /* whole numbers, by value */
    data = open_text(&c, "1,2,20\n1,2,-3.0\n");
    EXPECT_INT(class_at(data, 0), 2);
    EXPECT_INT(class_at(data, 1), 0);
    dlrt_data_close(data);
    REFUSED(c, "1,2,8\n", "`8` in column 3 does not occur");
    REFUSED(c, "1,2,b\n", "`b` in column 3 does not occur");
    learn(&c, "1,2,0\n1,2,3\n"); /* classes as they are */
    data = open_text(&c, "1,2,2\n");
    EXPECT_INT(class_at(data, 0), 2);
    dlrt_data_close(data);
    REFUSED(c, "1,2,4\n", "`4` in column 3 does not occur");
    REFUSED(c, "1,2,b\n", "`b` in column 3 does not occur");
    c.classes = 2;
    know(&c, "y.classes", "a b c");
    REFUSED(c, "1,2,a\n", "the weights know 3 classes of `y`, and it has 2");
    know(&c, "y.classes", "a a");
    REFUSED(c, "1,2,a\n", "`data.y.classes` is damaged");
    know(&c, "y.classes", "a %0");
    REFUSED(c, "1,2,a\n", "`data.y.classes` is damaged");
    know(&c, "y.classes", "a %00");
    REFUSED(c, "1,2,a\n", "`data.y.classes` is damaged");
    pool_free(&c.pool);
}

static void test_sets(void) {
    static const DlrtColumn place = {.first = 1, .onehot = true}, last = {.first = 2};
    Case c = {.columns = {{"x", 1, &place}, {"y", 1, &last}}, .ncolumns = 2};
    learn(&c, "south,1\nnorth,2\n");
    DlrtData *data = open_text(&c, "south,1\n");
    EXPECT_NEAR(x_at(data, 0, 0), 0, 0);
    EXPECT_NEAR(x_at(data, 0, 1), 1, 0);
    dlrt_data_close(data);
    REFUSED(c, "west,1\n",
            "`west` in column 1 does not occur in the data that the weights were "
            "trained on: north, south");
    pool_free(&c.pool);
}

/* ---- characters, pictures -------------------------------------------------------------------- */

static DlrtData *open_other(Case *c, const char *reader, const char *path, const DlrtPort *input,
                            const DlrtPort *target) {
    DlrtModel model = {.name = "m",
                       .real_bytes = 4,
                       .max_batch = 4,
                       .ninputs = 1,
                       .ntargets = 1,
                       .inputs = input,
                       .targets = target};
    DlrtArgument file = {.kind = DLRT_STRING, .string = path};
    DlrtSource source = {.is_split = true, .reader = reader, .nargs = 1, .args = &file};
    DlrtDataSpec spec = {.name = "d", .folder = test_folder, .nsources = 1, .sources = &source};
    DlrtSession weights = {.model = &model, .notes = c->known};
    c->error = (DlrtError){0};
    return dlrt_data_open_for(&weights, &spec, NULL, 1, &c->error);
}

static DlrtData *open_characters(Case *c, const char *text) {
    DlrtPort input = test_port("t", DIMS(2), 8), target = test_port("y", DIMS(2), 8);
    test_write_text("a.txt", text);
    return open_other(c, "text", "a.txt", &input, &target);
}

static void test_characters(void) {
    Case c = {0};
    DlrtData *data = open_characters(&c, "za\303\274 \360\237\230\200");
    EXPECT_STR(c.error.message, "");
    EXPECT(data && notes_copy(&c.pool, &c.known, &data->notes));
    dlrt_data_close(data);
    data = open_characters(&c, "z\360\237\230\200z");
    EXPECT_STR(c.error.message, "");
    if (data) {
        const int32_t *t = dlrt_data_example(data, DLRT_TRAIN, 0, 0);
        EXPECT_INT(t[0], 2);
        EXPECT_INT(t[1], 4);
        EXPECT_STR(dlrt_data_class(data, 0, 3), "\303\274");
    }
    dlrt_data_close(data);
    EXPECT(!open_characters(&c, "za\303\266"));
    EXPECT_ERROR(c.error, "`\303\266` does not occur in the text that the weights were trained on");
    know(&c, "t.classes", "a ab");
    EXPECT(!open_characters(&c, "aaa"));
    EXPECT_ERROR(c.error, "the weights know `ab` as a class of `t`, and that is no character");
    pool_free(&c.pool);
}

static void test_pictures(void) {
    /* One grey pixel. */
    static const unsigned char png[] =
        "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\b\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9c"
        "c`\0\0\0\2\0\1H\xaf\xa4q\0\0\0\0IEND\xae"
        "B`\x82";
    DlrtPort input = test_port("x", DIMS(1, 1), 0), target = test_port("y", SCALAR, 2);
    Case c = {0};
    mkdir(test_path("pictures"), 0700);
    mkdir(test_path("pictures/dog"), 0700);
    test_write("pictures/dog/1.png", png, sizeof png - 1);
    know(&c, "y.classes", "cat dog");
    DlrtData *data = open_other(&c, "images", "pictures", &input, &target);
    EXPECT_STR(c.error.message, "");
    if (data) EXPECT_INT(*(const int32_t *)dlrt_data_example(data, DLRT_TRAIN, 1, 0), 1);
    dlrt_data_close(data);
    know(&c, "y.classes", "cat cow");
    EXPECT(!open_other(&c, "images", "pictures", &input, &target));
    EXPECT_ERROR(c.error, "the folder `dog` is of no class that the weights were trained on");
    pool_free(&c.pool);
}

/* ---- data without targets -------------------------------------------------------------------- */

static void test_unlabelled(void) {
    static const DlrtColumn px[] = {{.name = "a"}, {.name = "b"}}, py = {.name = "kind"};
    Case c = {.classes = 2, .whole = true, .unlabelled = true};
    know(&c, "y.classes", "no yes");
    DlrtData *data = open_text(&c, "1,2\n3,4\n");
    EXPECT_STR(c.error.message, "");
    if (data) {
        EXPECT_INT(dlrt_data_count(data, DLRT_TEST), 2);
        EXPECT_NEAR(x_at(data, 1, 1), 4, 0);
        EXPECT_INT(class_at(data, 1), -1);
        EXPECT_STR(dlrt_data_class(data, 1, 1), "yes");
    }
    dlrt_data_close(data);
    data = open_text(&c, "1,2,yes\n3,4,\n"); /* of some rows, too, whatever `missing` says */
    if (data) EXPECT_INT(class_at(data, 0), 1);
    if (data) EXPECT_INT(class_at(data, 1), -1);
    dlrt_data_close(data);
    REFUSED(c, "1\n2\n", "the data has 1 column");
    REFUSED(c, "1,,yes\n", "has no value here"); /* an input is wanted all the same */
    c.columns[0] = (DlrtColumns){"x", 2, px};
    c.columns[1] = (DlrtColumns){"y", 1, &py};
    c.ncolumns = 2;
    data = open_text(&c, "b,a\n1,2\n");
    EXPECT_STR(c.error.message, "");
    if (data) EXPECT_NEAR(x_at(data, 0, 0), 2, 0);
    if (data) EXPECT_INT(class_at(data, 0), -1);
    dlrt_data_close(data);
    c.unlabelled = false;
    REFUSED(c, "b,a\n1,2\n", "there is no column `kind`");
    Case r = {.unlabelled = true, .scales = {{.port = "y", .standardize = true}}, .nscales = 1};
    REFUSED(r, "1,2,3\n1,2,\n", "`standardize y` needs all its values in the training part");
    pool_free(&c.pool);
}

int main(void) {
    test_folder_begin();
    test_standardize();
    test_missing();
    test_classes();
    test_sets();
    test_characters();
    test_pictures();
    test_unlabelled();
    test_folder_end();
    TEST_END();
}
