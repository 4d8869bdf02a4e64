/* driver/options.c: the words behind a verb. One table says which options there are, for which
 * verbs, and what they do; parsing and help both come from it. */
#include "driver/driver.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef enum OptionKind {
    OPT_FLAG,
    OPT_TEXT,
    OPT_COUNT,
    OPT_SEED,
    OPT_NUMBER,
    OPT_TEMPERATURE,
    OPT_SHARE,
    OPT_WINOGRAD,
    OPT_SETTING, /* one value */
    OPT_TRIALS   /* one, or several to compare */
} OptionKind;

typedef struct Option {
    const char *name;
    OptionKind kind;
    size_t field;
    const char *verbs; /* " train eval ", or NULL for all */
    const char *argument, *help;
} Option;

#define FIELD(name) offsetof(Options, name)

static const Option table[] = {
    {"--model", OPT_TEXT, FIELD(model), NULL, "NAME",
     "which model of the file (default: the last)"},
    {"--data", OPT_TEXT, FIELD(data), " train eval predict generate ", "PATH",
     "folder in which the sources are looked up, or the file itself"},
    {"--epochs", OPT_COUNT, FIELD(epochs), " train ", "N", "passes over the training data"},
    {"--steps", OPT_COUNT, FIELD(steps), " train ", "N",
     "steps of a batch each, instead of epochs"},
    {"--batch", OPT_COUNT, FIELD(batch), " train eval predict compile summary gradcheck bench ",
     "N", "examples in a batch"},
    {"--set", OPT_TRIALS, 0, " train ", "NAME=NUMBER",
     "an argument of the optimizer: --set lr=0.01; several are compared: lr=0.1,0.01"},
    {"--set", OPT_SETTING, 0, " compile ", "NAME=NUMBER",
     "an argument of the optimizer: --set lr=0.01"},
    {"--folds", OPT_COUNT, FIELD(folds), " train ", "N",
     "cross-validation: train N times, each time validated on another part"},
    {"--patience", OPT_COUNT, FIELD(patience), " train ", "N",
     "end after N reports without a smaller validation loss; keep the best weights"},
    {"--seed", OPT_SEED, FIELD(seed), " train eval predict generate gradcheck bench ", "N",
     "seed of initialisation, split, order and draws"},
    {"--save", OPT_TEXT, FIELD(save), " train ", "FILE", "write the weights (safetensors)"},
    {"--resume", OPT_TEXT, FIELD(resume), " train ", "FILE", "go on from saved weights"},
    {"--weights", OPT_TEXT, FIELD(weights), " eval predict generate ", "FILE",
     "weights saved by `train --save`"},
    {"--part", OPT_TEXT, FIELD(part), " eval predict ", "PART",
     "train, valid, test (default: the last that there is) or all"},
    {"--count", OPT_COUNT, FIELD(count), " predict generate ", "N",
     "examples to predict (default: all), texts to generate (default: 1)"},
    {"--png", OPT_TEXT, FIELD(png), " predict ", "FILE",
     "write an output that is a picture as a sheet of pictures (PNG)"},
    {"--port", OPT_TEXT, FIELD(port), " predict ", "NAME",
     "with --png: which output or input (default: the first that is a picture)"},
    {"--prompt", OPT_TEXT, FIELD(prompt), " generate ", "TEXT", "what the text begins with"},
    {"--length", OPT_COUNT, FIELD(length), " generate ", "N",
     "elements to generate (default: 500)"},
    {"--temperature", OPT_TEMPERATURE, FIELD(temperature), " generate ", "X",
     "below 1 likelier, above 1 more varied, 0 always the likeliest (default: 1)"},
    {"--top-k", OPT_COUNT, FIELD(top_k), " generate ", "N", "choose among the N likeliest"},
    {"--top-p", OPT_SHARE, FIELD(top_p), " generate ", "X",
     "choose among the likeliest that make up the share X"},
    {"--until", OPT_TEXT, FIELD(until), " generate ", "TEXT",
     "end before this (default for lines: the end of the line)"},
    {"--show", OPT_FLAG, FIELD(show), " predict ", NULL, "draw each example beside its prediction"},
    {"--json", OPT_FLAG, FIELD(json), " check train eval predict summary gradcheck bench ", NULL,
     "one JSON object a line on stdout"},
    {"--output", OPT_TEXT, FIELD(output), " compile ", "FILE",
     "the object file (also -o), or where --emit writes; - for stdout"},
    {"--emit", OPT_TEXT, FIELD(emit), " compile ", "STAGES",
     "any of syntax, sema, ir, diff (or grad), plan, codegen, llvm, asm, obj, header"},
    {"--target", OPT_TEXT, FIELD(triple), " compile ", "TRIPLE", "compile for another machine"},
    {"--threads", OPT_COUNT, FIELD(threads), " train eval predict generate ", "N",
     "threads to compute with (default: as many as there are processors)"},
    {"--threads", OPT_COUNT, FIELD(threads), " compile ", "N",
     "threads that a program may lend to a call (default: 1)"},
    {"--threads", OPT_COUNT, FIELD(threads), " bench ", "N",
     "threads to compute with (default: 1)"},
    {"--cpu", OPT_TEXT, FIELD(cpu), " compile train eval predict generate bench ", "NAME",
     "compile for this processor"},
    {"--no-cache", OPT_FLAG, FIELD(no_cache), " train eval predict generate gradcheck repl ", NULL,
     "compile anew, and keep no machine code for the next time"},
    {"--inference", OPT_FLAG, FIELD(inference), " compile bench ", NULL,
     "without the training step"},
    {"--f64", OPT_FLAG, FIELD(f64), " compile train eval predict generate bench ", NULL,
     "double precision"},
    {"--bf16", OPT_FLAG, FIELD(bf16), " compile train eval predict generate bench ", NULL,
     "keep and multiply numbers rounded to bf16; sums, parameters and updates stay in single "
     "precision"},
    {"--winograd", OPT_WINOGRAD, FIELD(winograd),
     " compile train eval predict generate gradcheck bench ", "TILE",
     "3 x 3 convolutions in tiles of 2 (default), also 4 (less exact; not with --bf16), or off"},
    {"--compare", OPT_TEXT, FIELD(compare), " bench ", "FILE",
     "the --json output of another run: how many times faster this one is"},
    {"--tolerance", OPT_NUMBER, FIELD(tolerance), " gradcheck ", "X",
     "largest relative difference allowed (default 1e-6)"},
    {"--check", OPT_FLAG, FIELD(check_only), " fmt ", NULL,
     "only say whether the file is formatted"},
    {"--verify", OPT_FLAG, FIELD(expect), " check ", NULL,
     "compare the messages with `# expect-error {{…}}` comments"},
    {"--split", OPT_FLAG, FIELD(split), " check ", NULL,
     "with --verify: the parts between `# -----` lines are files of their own"},
    {"--verify-each", OPT_FLAG, FIELD(verify_each), NULL, NULL, "check invariants between stages"},
    {"--color", OPT_TEXT, FIELD(color), NULL, "WHEN", "auto, always or never"},
    {"--help", OPT_FLAG, FIELD(help), NULL, NULL, "this text"},
};

enum { NOPTIONS = sizeof table / sizeof *table };

static bool applies(const Option *option, const Verb *verb) {
    if (!option->verbs) return true;
    char word[32];
    snprintf(word, sizeof word, " %s ", verb->name);
    return strstr(option->verbs, word) != NULL;
}

void options_help(const Verb *verb, FILE *out) {
    bool repl = strcmp(verb->name, "repl") == 0;
    fprintf(out, "dlc %s %s[options]\n%s\n\n%s\n\noptions:\n", verb->name,
            repl ? "[FILE.dl] " : "FILE.dl ", verb->summary, verb->details);
    for (int i = 0; i < NOPTIONS; i++) {
        if (!applies(&table[i], verb)) continue;
        char left[48];
        snprintf(left, sizeof left, "%s %s", table[i].name,
                 table[i].argument ? table[i].argument : "");
        fprintf(out, "  %-22s %s\n", left, table[i].help);
    }
}

void usage(FILE *out) {
    fputs("dlc FILE.dl VERB [options]     (or: dlc VERB FILE.dl [options])\n\nverbs:\n", out);
    for (const Verb *v = verbs; v->name; v++) fprintf(out, "  %-10s %s\n", v->name, v->summary);
    fputs("\n`dlc VERB --help` describes one verb; `dlc --version` prints the version.\n", out);
}

static bool complain(const char *message, const char *word) {
    fprintf(stderr, "dlc: ");
    fprintf(stderr, message, word);
    fputc('\n', stderr);
    return false;
}

enum { MAX_COUNT = 1000000000 };

static bool parse_count(const char *text, int64_t *out) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || value < 1 || value > MAX_COUNT) return false;
    *out = value;
    return true;
}

static bool parse_seed(const char *text, uint64_t *out) {
    char *end;
    errno = 0;
    if (*text == '-') return false;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end || errno) return false;
    *out = value;
    return true;
}

static bool parse_number(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    return end != text && !*end && isfinite(*out);
}

static bool parse_winograd(const char *text, DlcWinograd *out) {
    static const char *const words[] = {
        [DLC_WINOGRAD_2] = "2", [DLC_WINOGRAD_4] = "4", [DLC_WINOGRAD_OFF] = "off"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(text, words[i]) == 0) {
            *out = (DlcWinograd)i;
            return true;
        }
    return false;
}

static bool add_setting(DlcSetting **list, size_t *count, const char *text, size_t length,
                        double value) {
    DlcSetting *grown = realloc(*list, (*count + 1) * sizeof *grown);
    if (!grown) return complain("out of memory%s", "");
    *list = grown;
    (*list)[(*count)++] = (DlcSetting){strndup(text, length), value};
    return true;
}

/* NAME=NUMBER or NAME=NUMBER,NUMBER,… */
static bool parse_setting(const char *text, bool may_compare, Options *options) {
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : 0;
    bool several = equals && strchr(equals, ',');
    DlcSetting **list = several ? &options->trials : &options->settings;
    size_t *count = several ? &options->ntrials : &options->nsettings;
    if (several && !may_compare)
        return complain("`dlc train` compares values; here --set takes one, got `%s`", text);
    if (several && options->ntrials)
        return complain("only one setting can be compared at a time: `%s` is a second one", text);
    for (const char *at = equals; at && *at;) {
        char *end;
        double value = strtod(at + 1, &end);
        bool good = length && end != at + 1 && (*end == 0 || *end == ',') && isfinite(value);
        if (!good) break;
        if (!add_setting(list, count, text, length, value)) return false;
        if (!*end) return true;
        at = end;
    }
    return complain("--set wants NAME=NUMBER, got `%s`", text);
}

static bool store(const Option *option, const char *text, Options *options) {
    char *field = (char *)options + option->field;
    switch (option->kind) {
    case OPT_FLAG: *(bool *)field = true; return true;
    case OPT_TEXT: *(const char **)field = text; return true;
    case OPT_COUNT:
        if (parse_count(text, (int64_t *)field)) return true;
        fprintf(stderr, "dlc: %s wants a whole number from 1 to %lld, got `%s`\n", option->name,
                (long long)MAX_COUNT, text);
        return false;
    case OPT_SEED:
        options->has_seed = true;
        if (parse_seed(text, (uint64_t *)field)) return true;
        fprintf(stderr, "dlc: %s wants a whole number, got `%s`\n", option->name, text);
        return false;
    case OPT_NUMBER:
        if (parse_number(text, (double *)field)) return true;
        fprintf(stderr, "dlc: %s wants a number, got `%s`\n", option->name, text);
        return false;
    case OPT_TEMPERATURE:
        options->has_temperature = true;
        if (parse_number(text, (double *)field) && *(double *)field >= 0) return true;
        fprintf(stderr, "dlc: %s wants a number from 0, got `%s`\n", option->name, text);
        return false;
    case OPT_SHARE: {
        double *share = (double *)field;
        if (parse_number(text, share) && *share > 0 && *share <= 1) return true;
        fprintf(stderr, "dlc: %s wants a number above 0, at most 1, got `%s`\n", option->name,
                text);
        return false;
    }
    case OPT_WINOGRAD:
        if (parse_winograd(text, (DlcWinograd *)field)) return true;
        fprintf(stderr, "dlc: %s wants 2, 4 or off, got `%s`\n", option->name, text);
        return false;
    case OPT_SETTING: return parse_setting(text, false, options);
    case OPT_TRIALS: return parse_setting(text, true, options);
    }
    return false;
}

/* There is no such option; which one may be meant. */
static bool no_option(const Verb *verb, const char *word, size_t length) {
    const char *names[NOPTIONS];
    char name[64];
    size_t n = 0;
    snprintf(name, sizeof name, "%.*s", (int)length, word);
    for (int i = 0; i < NOPTIONS; i++)
        if (applies(&table[i], verb)) names[n++] = table[i].name + 2;
    const char *near = length > 2 ? dlrt_nearest(name + 2, names, n) : NULL;
    fprintf(stderr, "dlc: `%s` is no option of `dlc %s`; ", word, verb->name);
    if (near)
        fprintf(stderr, "did you mean `--%s`?\n", near);
    else
        fprintf(stderr, "see `dlc %s --help`\n", verb->name);
    return false;
}

/* `--name value`, `--name=value`, `-o value`. Moves *at past what it took. */
static bool parse_option(const Verb *verb, int nwords, char **words, int *at, Options *options) {
    const char *word = words[(*at)++];
    if (strcmp(word, "-h") == 0) word = "--help";
    bool output = strcmp(word, "-o") == 0;
    const char *equals = output ? NULL : strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    for (int i = 0; i < NOPTIONS; i++) {
        const Option *option = &table[i];
        bool same =
            output ? strcmp(option->name, "--output") == 0
                   : strlen(option->name) == length && strncmp(option->name, word, length) == 0;
        if (!same || !applies(option, verb)) continue;
        if (option->kind == OPT_FLAG) {
            if (equals) return complain("%s takes no value", option->name);
            return store(option, NULL, options);
        }
        if (equals) return store(option, equals + 1, options);
        if (*at >= nwords) return complain("%s wants a value", word);
        return store(option, words[(*at)++], options);
    }
    return no_option(verb, word, length);
}

bool options_parse(const Verb *verb, int nwords, char **words, Options *options) {
    for (int at = 0; at < nwords;) {
        if (words[at][0] == '-' && words[at][1]) {
            if (!parse_option(verb, nwords, words, &at, options)) return false;
        } else if (!options->file) {
            options->file = words[at++];
        } else {
            return complain("one file at a time, please: `%s` is a second one", words[at]);
        }
    }
    if (options->steps && options->epochs)
        return complain("a training counts --epochs or --steps, not both%s", "");
    if (options->f64 && options->bf16)
        return complain("numbers have the precision of --f64 or of --bf16, not of both%s", "");
    bool trials = options->folds || options->ntrials;
    if (trials && (options->save || options->resume))
        return complain("%s goes with one training, not with several that are compared",
                        options->save ? "--save" : "--resume");
    if (options->folds == 1) return complain("--folds wants at least 2%s", "");
    const char *color = options->color;
    if (color && strcmp(color, "auto") != 0 && strcmp(color, "always") != 0 &&
        strcmp(color, "never") != 0)
        return complain("--color wants auto, always or never, got `%s`", color);
    return true;
}

void options_free(Options *options) {
    for (size_t i = 0; i < options->nsettings; i++) free((void *)options->settings[i].name);
    for (size_t i = 0; i < options->ntrials; i++) free((void *)options->trials[i].name);
    free(options->settings);
    free(options->trials);
    *options = (Options){0};
}
