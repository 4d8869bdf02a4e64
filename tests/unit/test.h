/* tests/unit/test.h: assertions that show both values; a program exits 1 when one failed. */
#ifndef DLC_TESTS_UNIT_TEST_H
#define DLC_TESTS_UNIT_TEST_H

#include <math.h>
#include <stdio.h>
#include <string.h>

static int test_failures, test_checks;

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        test_checks++;                                                                             \
        if (!(condition)) {                                                                        \
            test_failures++;                                                                       \
            printf("%s:%d: expected %s\n", __FILE__, __LINE__, #condition);                        \
        }                                                                                          \
    } while (0)

#define EXPECT_INT(actual, expected)                                                               \
    do {                                                                                           \
        long long a_ = (long long)(actual), e_ = (long long)(expected);                            \
        test_checks++;                                                                             \
        if (a_ != e_) {                                                                            \
            test_failures++;                                                                       \
            printf("%s:%d: %s is %lld, expected %lld\n", __FILE__, __LINE__, #actual, a_, e_);     \
        }                                                                                          \
    } while (0)

#define EXPECT_STR(actual, expected)                                                               \
    do {                                                                                           \
        const char *a_ = (actual), *e_ = (expected);                                               \
        test_checks++;                                                                             \
        if (!a_ || strcmp(a_, e_) != 0) {                                                          \
            test_failures++;                                                                       \
            printf("%s:%d: %s is\n%s\nexpected\n%s\n", __FILE__, __LINE__, #actual,                \
                   a_ ? a_ : "(null)", e_);                                                        \
        }                                                                                          \
    } while (0)

#define EXPECT_NEAR(actual, expected, tolerance)                                                   \
    do {                                                                                           \
        double a_ = (actual), e_ = (expected), t_ = (tolerance);                                   \
        test_checks++;                                                                             \
        if (!(fabs(a_ - e_) <= t_)) {                                                              \
            test_failures++;                                                                       \
            printf("%s:%d: %s is %.17g, expected %.17g within %g\n", __FILE__, __LINE__, #actual,  \
                   a_, e_, t_);                                                                    \
        }                                                                                          \
    } while (0)

#define TEST_END()                                                                                 \
    do {                                                                                           \
        printf("%d checks, %d failures\n", test_checks, test_failures);                            \
        return test_failures != 0;                                                                 \
    } while (0)

#endif
