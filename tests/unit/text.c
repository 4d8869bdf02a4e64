/* tests/unit/text.c: text as windows of characters, and as lines. */
#include "data.h"

#include "runtime/private.h"

/* t[T] and y[H] of classes from a file of text. */
typedef struct Case {
    const char *reader;
    int64_t length, targets, classes;
    DlrtArgument setting;
    double valid; /* per cent */
    bool shuffled;
    DlrtError error;
} Case;

static DlrtData *open_case(Case *c, const char *text, size_t size) {
    const int64_t dims[] = {c->length, 0}, target_dims[] = {c->targets, 0};
    DlrtPort input = test_port("t", dims, c->classes);
    DlrtPort target = test_port("y", c->targets ? target_dims : dims, c->classes);
    DlrtModel model = {.name = "m",
                       .real_bytes = 4,
                       .max_batch = 4,
                       .ninputs = 1,
                       .ntargets = 1,
                       .inputs = &input,
                       .targets = &target};
    DlrtArgument arguments[] = {{.kind = DLRT_STRING, .string = "a.txt"}, c->setting};
    DlrtSource source = {
        .is_split = true, .reader = c->reader, .nargs = c->setting.name ? 2 : 1, .args = arguments};
    DlrtDataSpec spec = {.name = "d",
                         .folder = test_folder,
                         .nsources = 1,
                         .sources = &source,
                         .in_order = !c->shuffled};
    if (c->valid > 0) {
        spec.percent[DLRT_TRAIN] = 100 - c->valid;
        spec.percent[DLRT_VALID] = c->valid;
    }
    test_write("a.txt", text, size);
    return dlrt_data_open(&spec, &model, NULL, 1, &c->error);
}

static DlrtData *open_text(Case *c, const char *text) {
    return open_case(c, text, strlen(text));
}

static DlrtArgument stride(double value) {
    return (DlrtArgument){.name = "stride", .kind = DLRT_NUMBER, .number = value};
}

/* The characters of an example, as text. */
static const char *shown(const DlrtData *data, DlrtPart part, uint32_t port, int64_t example) {
    static char texts[4][512];
    static int next;
    char *text = texts[next++ % 4];
    const int32_t *classes = dlrt_data_example(data, part, port, example);
    text[0] = 0;
    for (int64_t i = 0; i < data->ports[port].elements; i++)
        strcat(text, dlrt_data_class(data, port, classes[i]));
    return text;
}

#define REFUSED(c, text, part)                                                                     \
    do {                                                                                           \
        EXPECT(open_text(&(c), (text)) == NULL);                                                   \
        EXPECT_ERROR((c).error, (part));                                                           \
    } while (0)

/* ---- windows ------------------------------------------------------------------------------- */

static void test_windows(void) {
    Case c = {.reader = "text", .length = 4, .classes = 10};
    DlrtData *data = open_text(&c, "abcdefghij");
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 2);
    EXPECT_STR(shown(data, DLRT_TRAIN, 0, 0), "abcd");
    EXPECT_STR(shown(data, DLRT_TRAIN, 1, 0), "bcde");
    EXPECT_STR(shown(data, DLRT_TRAIN, 0, 1), "efgh");
    EXPECT_STR(shown(data, DLRT_TRAIN, 1, 1), "fghi");
    EXPECT_INT(((const int32_t *)dlrt_data_example(data, DLRT_TRAIN, 0, 1))[0], 4);
    dlrt_data_close(data);
    c.setting = stride(1);
    data = open_text(&c, "abcdefghij");
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 6);
    EXPECT_STR(shown(data, DLRT_TRAIN, 1, 5), "ghij");
    dlrt_data_close(data);
    c.setting = stride(3);
    data = open_text(&c, "abcdefghij");
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 2);
    EXPECT_STR(shown(data, DLRT_TRAIN, 0, 1), "defg");
    dlrt_data_close(data);
}

/* The target is the end of what comes one later. */
static void test_short_target(void) {
    Case c = {.reader = "text", .length = 4, .targets = 1, .classes = 10};
    DlrtData *data = open_text(&c, "abcdefg");
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 3);
    EXPECT_STR(shown(data, DLRT_TRAIN, 0, 2), "cdef");
    EXPECT_STR(shown(data, DLRT_TRAIN, 1, 2), "g");
    dlrt_data_close(data);
}

/* Sorted by code point, whatever their order in the text; more classes than characters are fine. */
static void test_vocabulary(void) {
    Case c = {.reader = "text", .length = 2, .classes = 40};
    DlrtData *data = open_text(&c, "z\xC3\xA9"
                                   "a\n\xE2\x82\xAC b\xF0\x9F\x99\x82");
    static const char *const sorted[] = {
        "\n", " ", "a", "b", "z", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x99\x82"};
    for (int k = 0; k < 8; k++) EXPECT_STR(dlrt_data_class(data, 0, k), sorted[k]);
    EXPECT(dlrt_data_class(data, 0, 8) == NULL);
    EXPECT_STR(shown(data, DLRT_TRAIN, 0, 0), "z\xC3\xA9");
    EXPECT_INT(*(const int32_t *)dlrt_data_example(data, DLRT_TRAIN, 0, 0), 4);
    dlrt_data_close(data);
    data = open_text(&c, "\xEF\xBB\xBFxyx");
    EXPECT_STR(shown(data, DLRT_TRAIN, 0, 0), "xy");
    dlrt_data_close(data);
}

/* Numbers of more than a byte. */
static void test_many_characters(void) {
    char text[2048];
    size_t size = 0;
    for (unsigned code = 0x400; code < 0x400 + 300; code++) {
        text[size++] = (char)(0xC0 | code >> 6);
        text[size++] = (char)(0x80 | (code & 0x3F));
    }
    Case c = {.reader = "text", .length = 299, .classes = 300};
    DlrtData *data = open_case(&c, text, size);
    const int32_t *y = dlrt_data_example(data, DLRT_TRAIN, 1, 0);
    for (int i = 0; i < 299; i++) EXPECT_INT(y[i], i + 1);
    dlrt_data_close(data);
    c.length = 3;
    data = open_case(&c, text, size);
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 99);
    EXPECT_INT(((const int32_t *)dlrt_data_example(data, DLRT_TRAIN, 1, 98))[2], 297);
    dlrt_data_close(data);
}

/* The text is cut: no target character is in two parts, none twice in validation, whatever the
 * stride of training. */
static void test_split(void) {
    char text[1001];
    for (int i = 0; i < 1000; i++) text[i] = (char)('a' + i % 26);
    text[1000] = 0;
    for (int s = 1; s <= 12; s++) {
        Case c = {.reader = "text", .length = 8, .classes = 26, .valid = 20, .setting = stride(s)};
        DlrtData *data = open_text(&c, text);
        int last = 0, next = 0, unit = s % 8 == 0 ? 8 : s % 4 == 0 ? 4 : s % 2 == 0 ? 2 : 1;
        const int64_t *train = data->rows[DLRT_TRAIN], *valid = data->rows[DLRT_VALID];
        for (int64_t i = 0; i < dlrt_data_count(data, DLRT_TRAIN); i++) {
            EXPECT_INT(train[i] * unit, i * s);
            last = (int)train[i] * unit + 8; /* the last character of the target */
        }
        for (int64_t i = 0; i < dlrt_data_count(data, DLRT_VALID); i++) {
            int first = (int)valid[i] * unit + 1;
            EXPECT(first > (i ? next : last));
            if (i) EXPECT_INT(first, next + 1);
            next = first + 7;
        }
        EXPECT(last > 780 && last <= 800 + 8);
        EXPECT(next > 980);
        dlrt_data_close(data);
    }
}

static void test_shuffled(void) {
    Case c = {.reader = "text", .length = 2, .classes = 26, .valid = 50, .shuffled = true};
    DlrtData *data = open_text(&c, "abcdefghijklmnopq");
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 4);
    EXPECT_INT(dlrt_data_count(data, DLRT_VALID), 4);
    dlrt_data_close(data);
    c.setting = stride(3);
    data = open_text(&c, "abcdefghijklmnopq");
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN) + dlrt_data_count(data, DLRT_VALID), 5);
    dlrt_data_close(data);
    c.setting = stride(1);
    REFUSED(c, "abcdefghijklmnopq", "say `, in_order`");
}

static void test_refused_text(void) {
    Case c = {.reader = "text", .length = 4, .classes = 3};
    REFUSED(c, "abc", "this text has 3 characters, and an example takes 5");
    REFUSED(c, "", "this text has 0 characters");
    REFUSED(c, "abcabcd", "this text has 4 distinct characters, but `t` is class(3)");
    REFUSED(c,
            "abc\nab\xFF"
            "abc",
            "this is no UTF-8");
    EXPECT_INT(c.error.line, 2);
    EXPECT_INT(c.error.column, 3);
    REFUSED(c, "ab\xC3", "this is no UTF-8");
    REFUSED(c, "ab\xC0\x80", "this is no UTF-8");         /* NUL, the long way */
    REFUSED(c, "ab\xED\xA0\x80", "this is no UTF-8");     /* a surrogate */
    REFUSED(c, "ab\xF4\x90\x80\x80", "this is no UTF-8"); /* beyond the last */
    EXPECT(open_case(&c, "ab\0cdef", 7) == NULL);
    EXPECT_ERROR(c.error, "zero byte");
    c.setting = stride(0);
    REFUSED(c, "abcabc", "`stride` wants a whole number from 1");
    c.setting = stride(1.5);
    REFUSED(c, "abcabc", "`stride` wants a whole number from 1");
    c.setting = (DlrtArgument){0};
    c.targets = 5;
    REFUSED(c, "abcabc", "one target of no more");
    c.targets = 0;
    c.classes = 0;
    REFUSED(c, "abcabc", "one input of T classes");
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void test_lines(void) {
    Case c = {.reader = "lines", .length = 5, .classes = 8};
    DlrtData *data = open_text(&c, "\n\nab\r\ncdef\n\na\tb");
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 3);
    EXPECT_STR(dlrt_data_class(data, 0, 0), "\n"); /* before the tabulator */
    EXPECT_STR(dlrt_data_class(data, 1, 1), "\t");
    EXPECT_STR(shown(data, DLRT_TRAIN, 0, 0), "\nab\n\n");
    EXPECT_STR(shown(data, DLRT_TRAIN, 1, 0), "ab\n\n\n");
    EXPECT_STR(shown(data, DLRT_TRAIN, 0, 1), "\ncdef");
    EXPECT_STR(shown(data, DLRT_TRAIN, 1, 1), "cdef\n");
    EXPECT_STR(shown(data, DLRT_TRAIN, 1, 2), "a\tb\n\n");
    dlrt_data_close(data);
}

static void test_long_lines(void) {
    Case c = {.reader = "lines", .length = 4, .classes = 8};
    REFUSED(c, "abc\nabcd\n",
            "this line has 4 characters; `t` takes 4, with one for the beginning");
    EXPECT_INT(c.error.line, 2);
    c.setting = (DlrtArgument){.name = "cut", .kind = DLRT_BOOL, .boolean = true};
    DlrtData *data = open_text(&c, "abc\nabcdefg\nb");
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 3);
    EXPECT_STR(shown(data, DLRT_TRAIN, 0, 1), "\nabc");
    EXPECT_STR(shown(data, DLRT_TRAIN, 1, 1), "abcd"); /* no end that is none */
    dlrt_data_close(data);
    c.setting = stride(1);
    c.setting.name = "cut";
    REFUSED(c, "abc", "`cut` wants true or false");
}

static void test_refused_lines(void) {
    Case c = {.reader = "lines", .length = 4, .classes = 3};
    REFUSED(c, "", "no lines");
    REFUSED(c, "\n\r\n", "no lines");
    REFUSED(c, "abc\n", "4 distinct characters");
    REFUSED(c, "ab\na\xFF\n", "this is no UTF-8");
    EXPECT_INT(c.error.line, 2);
    c.targets = 2;
    REFUSED(c, "ab\n", "as many elements as its input");
}

int main(void) {
    test_folder_begin();
    test_windows();
    test_short_target();
    test_vocabulary();
    test_many_characters();
    test_split();
    test_shuffled();
    test_refused_text();
    test_lines();
    test_long_lines();
    test_refused_lines();
    test_folder_end();
    TEST_END();
}
