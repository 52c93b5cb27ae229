"""Headings and labels of the report, in both languages."""

from diffbev_engine.core.bilingual import Bilingual

TITLE = Bilingual("DiffBEV 训练流程报告", "DiffBEV runbook report")
WRITTEN = Bilingual("生成于", "written")
PROGRESS = Bilingual("进度", "Progress")
NEXT = Bilingual("下一步", "next")
NOTHING = Bilingual("全部完成", "everything is done")
RUNS = Bilingual("训练", "Runs")
RUN_COLUMNS = Bilingual("训练|状态|迭代|最佳 mIoU|所在迭代", "run|state|step|best mIoU|at step")
STEPS = Bilingual("步骤与依据", "Steps and evidence")
CRITERION = Bilingual("成功判据", "Passes when")
EXIT_CODE = Bilingual("退出码", "exit code")
LOG = Bilingual("日志", "log")
PROBLEM = Bilingual("匹配的已知问题", "known problem")
FIGURES = Bilingual("图", "Figures")
NO_FIGURES = Bilingual("reports/ 与 runs/ 中还没有图。", "No figures in reports/ or runs/ yet.")
LEFT_OUT = Bilingual("张图未显示", "more figures not shown")
ENVIRONMENT = Bilingual("环境", "Environment")
