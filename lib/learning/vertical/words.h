/* The words of the messages between master and members: see docs/vertical.md. */
#ifndef MUSTER_VERTICAL_WORDS_H
#define MUSTER_VERTICAL_WORDS_H

/* Every instruction has the integer VERTICAL with this version, and the text TASK with one of the tasks. */
#define MUSTER__VERTICAL         "vertical"
#define MUSTER__VERTICAL_VERSION 1
#define MUSTER__VERTICAL_TASK    "task"

#define MUSTER__VERTICAL_MATCH          "match"
#define MUSTER__VERTICAL_BEGIN          "begin"
#define MUSTER__VERTICAL_UPDATE         "update"
#define MUSTER__VERTICAL_UPDATE_PREDICT "update_predict"
#define MUSTER__VERTICAL_PREDICT        "predict"
#define MUSTER__VERTICAL_FINISH         "finish"

/* Of "begin". */
#define MUSTER__VERTICAL_RUN           "run"
#define MUSTER__VERTICAL_MODEL         "model"
#define MUSTER__VERTICAL_OUTPUTS       "outputs"
#define MUSTER__VERTICAL_ROWS          "rows"
#define MUSTER__VERTICAL_SEED          "seed"
#define MUSTER__VERTICAL_BATCH         "batch"
#define MUSTER__VERTICAL_INDEX         "index"
#define MUSTER__VERTICAL_BLOCKS        "blocks"
#define MUSTER__VERTICAL_STANDARDIZE   "standardize"
#define MUSTER__VERTICAL_UNIFORM       "uniform"
#define MUSTER__VERTICAL_CONSECUTIVE   "consecutive"
#define MUSTER__VERTICAL_TRAINED       "trained"
#define MUSTER__VERTICAL_TEST_FRACTION "test_fraction"
#define MUSTER__VERTICAL_RATE          "learning_rate"
#define MUSTER__VERTICAL_L2            "l2"
#define MUSTER__VERTICAL_MOMENTUM      "momentum"

/* Of updates, predictions and answers. */
#define MUSTER__VERTICAL_STEP    "step"
#define MUSTER__VERTICAL_DURABLE "durable"
#define MUSTER__VERTICAL_WHICH   "which"
#define MUSTER__VERTICAL_FROM    "from"
#define MUSTER__VERTICAL_COUNT   "count"
#define MUSTER__VERTICAL_TASK_MS "task_ms"

#endif
