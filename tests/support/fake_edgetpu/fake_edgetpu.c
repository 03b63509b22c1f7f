/* An Edge TPU library without an Edge TPU, in the ABI of a TensorFlow Lite delegate and of edgetpu_c.h.
 *
 * It claims every `edgetpu-custom-op` node and answers with pixels of the input's middle row: for an input
 * (1, S, S, 3) and an output (1, n), both int8, output[i] = input[S / 2, i * (S / n), 0]. A CPU twin gives the
 * same with one STRIDED_SLICE and one RESHAPE. A second input (1, m) is copied behind these pixels. An output of
 * four dimensions, as a detector's maps, gets the first bytes of the input; there may be several of these.
 *
 * The folder named by FAKE_EDGETPU steers it, across all processes that load it:
 *
 *     devices      what edgetpu_list_devices tells: lines of `usb|pci PATH`
 *     loads        one byte for every delegate that was asked for
 *     inferences   one byte for every inference
 *     next         a fault, once: WHERE KIND ARGUMENT FROM DEVICE; removed by whoever fails with it
 *     always       the same, until it is removed
 *
 * WHERE is `load`, `infer`, or `search` or `read`: an inference with or without maps among its outputs; FROM is the count at which it may begin; DEVICE is `usb:0` or `*`. KINDs are
 * `no_device` and `refuse` (load); `error`, `shape`, `flip` (one wrong answer) and `garbage` (wrong answers until
 * the process ends) (infer); `abort`, `segfault`, `hang` and `slow` (ARGUMENT milliseconds), both.
 *
 * The structs are those of tensorflow/lite/core/c/common.h, as far as they are needed; their order is ABI.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct { int size; int data[]; } IntArray;

typedef struct {
    int type;
    void *data;
    IntArray *dims;
    struct { float scale; int32_t zero_point; } params;
    int allocation_type;
    size_t bytes;
    const void *allocation;
    const char *name;
    void *delegate;
    int buffer_handle;
    bool data_is_stale, is_variable;
    struct { int type; void *params; } quantization;
    void *sparsity;
    const IntArray *dims_signature;
} Tensor;

typedef struct { IntArray *inputs, *outputs; } Node; /* and more */

typedef struct Context Context;

typedef struct {
    void *(*init)(Context *, const char *, size_t);
    void (*free)(Context *, void *);
    int (*prepare)(Context *, Node *);
    int (*invoke)(Context *, Node *);
    const char *(*profiling_string)(const Context *, const Node *);
    int32_t builtin_code;
    const char *custom_name;
    int version;
    void *registration_external;
    void *(*async_kernel)(Context *, Node *);
    uint64_t inplace_operator;
} Registration;

typedef struct Delegate {
    void *data;
    int (*prepare)(Context *, struct Delegate *);
    void *copy_from, *copy_to, *free_buffer;
    int64_t flags;
    void *opaque_delegate_builder;
} Delegate;

struct Context {
    size_t tensors_size;
    int (*get_execution_plan)(Context *, IntArray **);
    Tensor *tensors;
    void *impl;
    int (*resize_tensor)(Context *, Tensor *, IntArray *);
    void (*report_error)(Context *, const char *, ...);
    int (*add_tensors)(Context *, int, int *);
    int (*get_node)(Context *, int, Node **, Registration **);
    int (*replace_nodes)(Context *, Registration, const IntArray *, Delegate *);
    /* and more */
};

enum { OK = 0, ERROR = 1, DYNAMIC = 4, ALLOW_DYNAMIC_TENSORS = 1 };

static char device[32];
static bool garbage;

static char *in_folder(const char *name, char path[4096])
{
    snprintf(path, 4096, "%s/%s", getenv("FAKE_EDGETPU"), name);
    return path;
}

static long count(const char *name)
{
    char path[4096];
    struct stat status;
    int file = open(in_folder(name, path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0 || write(file, ".", 1) != 1 || fstat(file, &status) != 0)
        abort();
    close(file);
    return status.st_size;
}

/* The fault that is due here, its argument in *argument; empty when there is none. */
static const char *fault(const char *where, long now, int *argument)
{
    static const char *const names[] = {"next", "always"};
    static char kind[32];
    char path[4096], at[32], on[32];
    long from;
    for (int i = 0; i < 2; i++) {
        FILE *file = fopen(in_folder(names[i], path), "re");
        if (!file)
            continue;
        int fields = fscanf(file, "%31s %31s %d %ld %31s", at, kind, argument, &from, on);
        fclose(file);
        if (fields == 5 && !strcmp(at, where) && now >= from && (!strcmp(on, "*") || !strcmp(on, device)) &&
            (i == 1 || unlink(path) == 0))
            return kind;
    }
    return "";
}

/* What ends or delays the process wherever it happens. */
static void suffer(const char *kind, int argument)
{
    if (!strcmp(kind, "abort")) {
        fprintf(stderr, "F driver/usb/usb_driver.cc:857] transfer on tag 2 failed. Abort.\n");
        abort();
    }
    if (!strcmp(kind, "segfault"))
        raise(SIGSEGV);
    if (!strcmp(kind, "slow"))
        usleep(argument * 1000);
    while (!strcmp(kind, "hang"))
        pause();
}

static void *init(Context *context, const char *buffer, size_t length)
{
    (void)context, (void)buffer, (void)length;
    return NULL;
}

static int prepare(Context *context, Node *node)
{
    (void)context, (void)node;
    return OK;
}

/* Give the output one value less than it should have. */
static int shrink(Context *context, Tensor *output)
{
    IntArray *shape = malloc(sizeof(int) * (size_t)(output->dims->size + 1));
    memcpy(shape, output->dims, sizeof(int) * (size_t)(output->dims->size + 1));
    shape->data[shape->size - 1]--;
    output->data = NULL;
    output->allocation_type = DYNAMIC;
    return context->resize_tensor(context, output, shape);
}

static int invoke(Context *context, Node *node)
{
    int argument = 0;
    long now = count("inferences");
    Tensor *input = &context->tensors[node->inputs->data[0]], *output = &context->tensors[node->outputs->data[0]];
    const char *kind = fault("infer", now, &argument);
    if (!*kind)
        kind = fault(output->dims->size == 4 ? "search" : "read", now, &argument);

    suffer(kind, argument);
    if (!strcmp(kind, "error")) {
        context->report_error(context, "the device has gone");
        return ERROR;
    }
    if (!strcmp(kind, "shape") && shrink(context, output) != OK)
        return ERROR;
    garbage = garbage || !strcmp(kind, "garbage");

    if (output->dims->size == 4) {
        for (int place = 0; place < node->outputs->size; place++) {
            Tensor *map = &context->tensors[node->outputs->data[place]];
            for (size_t i = 0; i < map->bytes; i++)
                ((int8_t *)map->data)[i] = garbage || !strcmp(kind, "flip")
                    ? (int8_t)(now * 89 + (long)i * 151) : ((const int8_t *)input->data)[i];
        }
        return OK;
    }

    const Tensor *vector = node->inputs->size > 1 ? &context->tensors[node->inputs->data[1]] : NULL;
    int side = input->dims->data[1], values = (int)(output->bytes - (vector ? vector->bytes : 0));
    const int8_t *row = (const int8_t *)input->data + side / 2 * side * 3;
    int8_t *answer = output->data;
    for (int i = 0; i < values; i++)
        answer[i] = garbage || !strcmp(kind, "flip") ? (int8_t)(now * 89 + i * 151) : row[i * (side / values) * 3];
    if (vector)
        memcpy(answer + values, vector->data, vector->bytes);
    return OK;
}

static int claim(Context *context, Delegate *delegate)
{
    static const Registration kernel = {.init = init, .prepare = prepare, .invoke = invoke,
                                        .custom_name = "fake-edgetpu", .version = 1};
    IntArray *plan, *ours;
    if (context->get_execution_plan(context, &plan) != OK)
        return ERROR;
    ours = calloc((size_t)plan->size + 1, sizeof(int));
    for (int i = 0; i < plan->size; i++) {
        Node *node;
        Registration *registration;
        if (context->get_node(context, plan->data[i], &node, &registration) != OK)
            return ERROR;
        if (registration->custom_name && !strcmp(registration->custom_name, "edgetpu-custom-op"))
            ours->data[ours->size++] = plan->data[i];
    }
    int status = context->replace_nodes(context, kernel, ours, delegate);
    free(ours);
    return status;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t options, void (*report)(const char *))
{
    int argument = 0;
    for (size_t i = 0; i < options; i++)
        if (!strcmp(keys[i], "device"))
            snprintf(device, sizeof device, "%s", values[i]);
    const char *kind = fault("load", count("loads"), &argument);
    suffer(kind, argument);
    if (!strcmp(kind, "no_device"))
        return NULL; /* as the real one does: without a word */
    if (!strcmp(kind, "refuse")) {
        report("the option is bogus");
        return NULL;
    }
    Delegate *delegate = calloc(1, sizeof *delegate);
    delegate->prepare = claim;
    delegate->flags = ALLOW_DYNAMIC_TENSORS;
    return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }

struct edgetpu_device { int type; const char *path; };

struct edgetpu_device *edgetpu_list_devices(size_t *found)
{
    char path[4096], kind[8];
    struct edgetpu_device *devices = calloc(16, sizeof *devices);
    FILE *file = fopen(in_folder("devices", path), "re");
    *found = 0;
    while (file && *found < 16 && fscanf(file, "%7s %4095s", kind, path) == 2)
        devices[(*found)++] = (struct edgetpu_device){!strcmp(kind, "usb"), strdup(path)};
    if (file)
        fclose(file);
    return devices;
}

void edgetpu_free_devices(struct edgetpu_device *devices) { free(devices); }

const char *edgetpu_version(void) { return "BuildLabel(fake), RuntimeVersion(14)"; }
