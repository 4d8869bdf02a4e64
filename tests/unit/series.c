/* tests/unit/series.c: windows over a column of a table. */
#include "data.h"

#include "runtime/private.h"

typedef struct Case {
    int64_t before, after; /* 0 after: y is a number */
    DlrtArgument settings[2];
    uint32_t nsettings;
    double test; /* per cent */
    bool standardize;
    DlrtError error;
} Case;

static DlrtData *open_case(Case *c, const char *text) {
    const int64_t dims[] = {c->before, 0}, after[] = {c->after, 0};
    DlrtPort input = test_port("x", dims, 0);
    DlrtPort target = test_port("y", c->after ? after : SCALAR, 0);
    DlrtModel model = {.name = "m",
                       .real_bytes = 4,
                       .max_batch = 4,
                       .ninputs = 1,
                       .ntargets = 1,
                       .inputs = &input,
                       .targets = &target};
    DlrtArgument arguments[3] = {
        {.kind = DLRT_STRING, .string = "a.csv"}, c->settings[0], c->settings[1]};
    DlrtSource source = {
        .is_split = true, .reader = "series", .nargs = 1 + c->nsettings, .args = arguments};
    const DlrtScale scales[] = {{.port = "x", .standardize = true},
                                {.port = "y", .standardize = true}};
    DlrtDataSpec spec = {.name = "d",
                         .folder = test_folder,
                         .nsources = 1,
                         .sources = &source,
                         .scales = scales,
                         .nscales = c->standardize ? 2 : 0,
                         .in_order = true};
    if (c->test > 0) {
        spec.percent[DLRT_TRAIN] = 100 - c->test;
        spec.percent[DLRT_TEST] = c->test;
    }
    test_write_text("a.csv", text);
    return dlrt_data_open(&spec, &model, NULL, 1, &c->error);
}

static double value(const DlrtData *data, DlrtPart part, uint32_t port, int64_t example,
                    int64_t element) {
    return ((const float *)dlrt_data_example(data, part, port, example))[element];
}

static DlrtArgument number(const char *name, double n) {
    return (DlrtArgument){.name = name, .kind = DLRT_NUMBER, .number = n};
}

static const char *table = "\"Date\",\"Temp\"\r\n\"d1\",1\r\n\"d2\",2.5\r\n\"d3\",3\r\n\"d4\",4\r\n"
                           "\"d5\",5\r\n\"d6\",6\r\n\"d7\",7";

static void test_windows(void) {
    Case c = {.before = 3};
    DlrtData *data = open_case(&c, table);
    EXPECT_STR(c.error.message, "");
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 4);
    EXPECT_NEAR(value(data, DLRT_TRAIN, 0, 0, 1), 2.5, 0);
    EXPECT_NEAR(value(data, DLRT_TRAIN, 1, 0, 0), 4, 0);
    EXPECT_NEAR(value(data, DLRT_TRAIN, 0, 3, 2), 6, 0);
    EXPECT_NEAR(value(data, DLRT_TRAIN, 1, 3, 0), 7, 0);
    dlrt_data_close(data);
    c = (Case){.before = 2, .after = 3, .settings = {number("stride", 2)}, .nsettings = 1};
    data = open_case(&c, table);
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 2);
    EXPECT_NEAR(value(data, DLRT_TRAIN, 0, 1, 0), 3, 0);
    EXPECT_NEAR(value(data, DLRT_TRAIN, 1, 1, 2), 7, 0);
    dlrt_data_close(data);
}

static void test_columns(void) {
    Case c = {.before = 1, .settings = {number("column", 1)}, .nsettings = 1};
    DlrtData *data = open_case(&c, "1,10\n2,20\n3,30\n");
    EXPECT_NEAR(value(data, DLRT_TRAIN, 1, 1, 0), 3, 0);
    dlrt_data_close(data);
    c.settings[0] = (DlrtArgument){.name = "column", .kind = DLRT_STRING, .string = "b"};
    data = open_case(&c, "a,b,c\n1,10,5\n2,20,5\n3,30,5\n");
    EXPECT_NEAR(value(data, DLRT_TRAIN, 1, 1, 0), 30, 0);
    dlrt_data_close(data);
}

/* The last of the training targets comes before the first of the test, and nothing is left out. */
static void test_split(void) {
    char text[2048] = "";
    for (int i = 0; i < 200; i++) sprintf(text + strlen(text), "%d\n", i);
    Case c = {.before = 10, .test = 10};
    DlrtData *data = open_case(&c, text);
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 171);
    EXPECT_INT(dlrt_data_count(data, DLRT_TEST), 19);
    EXPECT_NEAR(value(data, DLRT_TRAIN, 1, 170, 0), 180, 0);
    EXPECT_NEAR(value(data, DLRT_TEST, 1, 0, 0), 181, 0);
    dlrt_data_close(data);
    c.after = 4; /* training begins at every fourth row, as test does */
    data = open_case(&c, text);
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 42);
    EXPECT_INT(dlrt_data_count(data, DLRT_TEST), 5);
    dlrt_data_close(data);
    c.settings[0] = number("stride", 1), c.nsettings = 1;
    data = open_case(&c, text);
    int64_t train = dlrt_data_count(data, DLRT_TRAIN), test = dlrt_data_count(data, DLRT_TEST);
    EXPECT_INT(train, 165);
    EXPECT_INT(test, 5);
    EXPECT(value(data, DLRT_TRAIN, 1, train - 1, 3) < value(data, DLRT_TEST, 1, 0, 0));
    EXPECT_NEAR(value(data, DLRT_TEST, 1, 1, 0) - value(data, DLRT_TEST, 1, 0, 0), 4, 0);
    dlrt_data_close(data);
}

/* By the windows of training. */
static void test_standardize(void) {
    Case c = {.before = 2, .test = 50, .standardize = true};
    DlrtData *data = open_case(&c, "0\n2\n4\n6\n8\n10\n");
    EXPECT_NEAR(value(data, DLRT_TRAIN, 0, 0, 0), -1, 1e-6);
    EXPECT_NEAR(value(data, DLRT_TRAIN, 0, 1, 0), 1, 1e-6);
    EXPECT_NEAR(value(data, DLRT_TEST, 1, 1, 0), 5, 1e-6);
    EXPECT_NEAR(dlrt_data_unscale(data, 1, 0, 5), 10, 1e-6);
    dlrt_data_close(data);
}

static void refused(Case c, const char *text, const char *part) {
    EXPECT(open_case(&c, text) == NULL);
    EXPECT_ERROR(c.error, part);
}

static void test_refused(void) {
    Case c = {.before = 3};
    refused(c, "1\n2\n3\n", "this series has 3 values, and an example takes 3 and the next 1");
    refused(c, "1\n2\nx\n4\n5\n", "`x` in column 1 is not a finite number");
    refused(c, "a,b\n1,2\n2,\n3,4\n5,5\n",
            "the series has a gap here: column 2 (`b`) has no value");
    refused(c, "", "empty");
    c.settings[0] = number("column", 3), c.nsettings = 1;
    refused(c, "1,2\n2,3\n3,4\n4,5\n", "there is no column 3: the file has columns 1..2");
    c.settings[0] = (DlrtArgument){.name = "column", .kind = DLRT_STRING, .string = "b"};
    refused(c, "1,2\n2,3\n3,4\n4,5\n", "there is no column `b`, because this file is read without");
    c.settings[0] = number("stride", 0);
    refused(c, "1,2\n2,3\n3,4\n4,5\n", "`stride` wants a whole number from 1");
    c.settings[0] = number("strides", 1);
    refused(c, "1,2\n2,3\n3,4\n4,5\n", "strides");
}

/* The last value is what the file ends with. */
static void test_real(const char *folder) {
    char path[512];
    snprintf(path, sizeof path, "%s/series/daily-min-temperatures.csv", folder);
    FILE *file = fopen(path, "rb");
    static char text[1 << 17];
    EXPECT(file != NULL);
    if (!file) return;
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    Case c = {.before = 14, .test = 10};
    DlrtData *data = open_case(&c, text);
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN) + dlrt_data_count(data, DLRT_TEST), 3650 - 14);
    EXPECT_NEAR(value(data, DLRT_TRAIN, 0, 0, 0), 20.7, 1e-5);
    EXPECT_NEAR(value(data, DLRT_TEST, 1, dlrt_data_count(data, DLRT_TEST) - 1, 0), 13.0, 1e-5);
    dlrt_data_close(data);
}

int main(void) {
    test_folder_begin();
    test_windows();
    test_columns();
    test_split();
    test_standardize();
    test_refused();
    const char *folder = test_data();
    if (folder) test_real(folder);
    test_folder_end();
    TEST_END();
}
