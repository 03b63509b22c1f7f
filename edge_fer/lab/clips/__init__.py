"""From long recordings to labelled clips, as the paper did by hand (Adebayo 2021, section 4.2.2).

    cut     recording -> clips       cut.py: what is done; beeps.py, sound.py: where the beeps are; tracks.py: where
                                     tracks are; spans.py: which frames; cutter.py: the files; cut_record.py: their
                                     record
    label   clips -> marks           site.py, page.html: the page; labelling.py: what its keys do; frames.py: its
                                     pictures; marks.py: the marks and their file; saved.py: where they are kept;
                                     claim.py: by one page at a time
    trim    clips, marks -> faces    trimming.py: what is done; clip_faces.py: the faces of a clip
    agree   marks, marks -> figures  agreement.py

films.py gives all of them their pictures.

`edge_fer/lab/datasets/clips.py` reads what `trim` writes. torch is not needed here.
"""
