/* tests/unit/cifar.c: colour images in CIFAR-10's binary format. */
#include "data.h"

#include "runtime/private.h"

enum { RECORD = 3073 };

typedef struct Case {
    uint32_t files;
    int64_t width, classes;
    DlrtScale scale;
    const char *path;
    DlrtError error;
} Case;

static DlrtData *open_case(Case *c, const char *const *names) {
    const int64_t dims[] = {3, 32, c->width ? c->width : 32, 0};
    DlrtPort input = test_port("x", dims, 0), target = test_port("y", SCALAR, c->classes);
    DlrtModel model = {.name = "m",
                       .real_bytes = 4,
                       .max_batch = 4,
                       .ninputs = 1,
                       .ntargets = 1,
                       .inputs = &input,
                       .targets = &target};
    DlrtArgument arguments[4];
    for (uint32_t i = 0; i < c->files; i++)
        arguments[i] = (DlrtArgument){.kind = DLRT_STRING, .string = names[i]};
    DlrtSource source = {.is_split = true, .reader = "cifar", .nargs = c->files, .args = arguments};
    DlrtDataSpec spec = {.name = "d",
                         .folder = test_folder,
                         .nsources = 1,
                         .sources = &source,
                         .scales = &c->scale,
                         .nscales = c->scale.port != NULL};
    return dlrt_data_open(&spec, &model, c->path, 1, &c->error);
}

static const char *const both[] = {"a.bin", "b.bin"};

/* Records whose bytes tell their place; `first` is the number of the first. */
static void write_records(const char *name, int first, int n, int more) {
    static unsigned char bytes[8 * RECORD];
    for (int i = 0; i < n * RECORD + more; i++) {
        int record = first + i / RECORD, at = i % RECORD;
        bytes[i] = (unsigned char)(at == 0 ? record % 10 : (record * 31 + at) % 251);
    }
    test_write(name, bytes, (size_t)(n * RECORD + more));
}

static void test_records(void) {
    Case c = {.files = 2, .classes = 10, .scale = {.port = "x", .factor = 0.5, .offset = 1}};
    write_records("a.bin", 0, 3, 0);
    write_records("b.bin", 3, 2, 0);
    DlrtData *data = open_case(&c, both);
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 5);
    for (int64_t i = 0; i < 5; i++) {
        EXPECT_INT(*(const int32_t *)dlrt_data_example(data, DLRT_TRAIN, 1, i), i);
        const float *x = dlrt_data_example(data, DLRT_TRAIN, 0, i);
        for (int e = 0; e < 3072; e += 511)
            EXPECT_NEAR(x[e], (double)((i * 31 + e + 1) % 251) * 0.5 + 1, 0);
        EXPECT_NEAR(dlrt_data_unscale(data, 0, 7, x[7]), (double)((i * 31 + 8) % 251), 1e-5);
    }
    /* The bytes are kept once, as they are. */
    EXPECT(data->ports[0].segments[0].ready == NULL);
    dlrt_data_close(data);
}

static void test_refused(void) {
    Case c = {.files = 1, .classes = 10};
    write_records("a.bin", 0, 2, 1);
    EXPECT(!open_case(&c, both));
    EXPECT_ERROR(c.error, "behind record 2 (from byte 6146) there are 1");
    EXPECT(strstr(c.error.path, "a.bin") != NULL);
    write_records("a.bin", 0, 0, 100);
    EXPECT(!open_case(&c, both));
    EXPECT_ERROR(c.error, "this is no CIFAR file, or it is cut off");
    test_write("a.bin", "", 0);
    EXPECT(!open_case(&c, both));
    EXPECT_ERROR(c.error, "this file is empty");
    write_records("a.bin", 0, 5, 0);
    c.classes = 4;
    EXPECT(!open_case(&c, both));
    EXPECT_ERROR(c.error, "record 5 (at byte 12292) has class 4, but `y` takes classes 0 to 3");
    c.classes = 0;
    EXPECT(!open_case(&c, both));
    EXPECT_ERROR(c.error, "cifar is for a model with one input of 3 x 32 x 32 numbers");
    c.classes = 10;
    c.width = 31;
    EXPECT(!open_case(&c, both));
    EXPECT_ERROR(c.error, "cifar is for a model");
    c.width = 0;
    c.files = 2;
    remove(test_path("b.bin"));
    EXPECT(!open_case(&c, both));
    EXPECT_ERROR(c.error, "this file of data `d` is not there");
    c.files = 0;
    EXPECT(!open_case(&c, both));
    EXPECT_ERROR(c.error, "cifar needs the name of a file");
    c.files = 1;
    c.scale = (DlrtScale){.port = "x", .factor = 1e37};
    EXPECT(!open_case(&c, both));
    EXPECT_ERROR(c.error, "too large for the model's 32-bit numbers");
}

/* The counts are those that the set's description tells. */
static void test_real(const char *folder) {
    static const char *const names[] = {"data_batch_1_first4000.bin", "train_jpeg_7000.bin"};
    static const int64_t of_class[] = {1096, 1066, 1120, 1084, 1122, 1093, 1114, 1085, 1107, 1113};
    static const int first[] = {6, 9, 9, 4, 1, 1, 2, 7, 8, 3};
    char path[512];
    snprintf(path, sizeof path, "%s/cifar10", folder);
    Case c = {.files = 2, .classes = 10, .path = path};
    DlrtData *data = open_case(&c, names);
    EXPECT(data != NULL);
    if (!data) return;
    int64_t counts[10] = {0};
    EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 11000);
    for (int64_t i = 0; i < 11000; i++) {
        int32_t k = *(const int32_t *)dlrt_data_example(data, DLRT_TRAIN, 1, i);
        if (i < 10) EXPECT_INT(k, first[i]);
        counts[k]++;
    }
    for (int k = 0; k < 10; k++) EXPECT_INT(counts[k], of_class[k]);
    dlrt_data_close(data);
}

int main(void) {
    test_folder_begin();
    test_records();
    test_refused();
    const char *folder = test_data();
    if (folder) test_real(folder);
    test_folder_end();
    TEST_END();
}
