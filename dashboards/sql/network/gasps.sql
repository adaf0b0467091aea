SELECT interruptions, heard, heard_share FROM gasp_figure($__timeFrom(), $__timeTo())
