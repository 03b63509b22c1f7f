"""An archive of recordings, read into tables: `edge-fer label`.

    paths --> recordings --> tasks --> engine (this machine's processes, or Ray) --> parts --> tables, report

`label_archive.py` is the job: what is left to do, what was done, what failed. A task is a plain function of a
recording, a segment of it and the job (`tasks.py`); every engine runs the same ones. All results go
through the output folder, so no table is ever in memory as a whole: a task writes the rows of its segment into a part,
and another one joins the parts of a recording into its tables.

Nothing depends on how quick a machine is or how many there are: every frame is read, each on its own presentation time,
with one thread, one after the other, on the CPU.
"""
