"""Headings and labels of the report, in both languages."""

from diffbev_engine.runbook.text import Text

TITLE = Text("DiffBEV 训练记录", "DiffBEV campaign record")
WRITTEN = Text("生成于", "written")
PROGRESS = Text("进度", "Progress")
NEXT = Text("下一步", "next")
NOTHING = Text("全部完成", "everything is done")
RUNS = Text("训练", "Runs")
RUN_COLUMNS = Text("训练|状态|迭代|最佳mIoU|所在迭代", "run|state|step|best mIoU|at step")
STEPS = Text("步骤与证据", "Steps and evidence")
CRITERION = Text("成功判据", "Passes when")
EXIT_CODE = Text("退出码", "exit code")
LOG = Text("日志", "log")
PROBLEM = Text("匹配的已知问题", "known problem")
FIGURES = Text("图", "Figures")
NO_FIGURES = Text("reports/ 与 runs/ 中还没有图。", "There is no figure under reports/ and runs/ yet.")
LEFT_OUT = Text("张图未收入", "more figures are not shown")
ENVIRONMENT = Text("环境", "Environment")
